import { readPlacement } from '../../../functions/database/transfer/fence.ts';
import type { Hop } from '../../../functions/moves/hop.ts';
import { endReplication } from '../../../functions/moves/relocate/replication.ts';
import { rollBackRelocate } from '../../../functions/moves/relocate/roll-back-relocate.ts';
import { until } from '../../enter-tenant.ts';
import type { TestDatabase } from '../../test-database.ts';
import { runRelocation } from '../run-relocation.ts';
import { onStage, type Scenario } from './scenario.ts';
import type { Stage } from './stage.ts';
import { withinPause } from './within-pause.ts';

/** A tenant that is about to be cut over to another database, to which its rows are replicated. */
export interface Relocation {
  readonly hop: Hop;
  readonly away: TestDatabase;
  /** Where the tenant is at home. */
  home(): Promise<TestDatabase>;
  /** Keeps back what happens to the employee's row on its way to the target, and all that follows. @returns what lets it through. */
  keepBack(email: string): Promise<() => Promise<void>>;
  /** Waits until the employee's row at the target has this name. */
  arrived(email: string, name: string): Promise<void>;
}

/** A scenario that begins behind the catch-up. That far the hop is taken by the code as it is. */
export function onRelocatingStage(
  script: (stage: Stage, relocation: Relocation) => Promise<string[]>,
): Scenario {
  return onStage('schema', async (stage) => {
    const away = await stage.addDatabase();
    const hop = await stage.hop('relocate', 'schema', { to: away });
    const home = async () => ((await stage.placement())?.state === 'moved' ? away : stage.database);
    const owner = await stage.owner();
    stage.beforeEnd(async () => {
      const placement = await readPlacement(owner, hop.attempt.tenantId);
      await (placement?.state === 'moved' ? endReplication(hop) : rollBackRelocate(hop));
    });
    await withinPause(1_000, () => runRelocation(hop, { to: 'catch-up' }));
    return script(stage, {
      hop,
      away,
      home,
      async keepBack(email) {
        const client = await stage.owner(away);
        await client.query('BEGIN');
        const { rowCount } = await client.query(
          `SELECT FROM ${hop.target.schemaName}.employees WHERE email = $1 FOR UPDATE`,
          [email],
        );
        if (rowCount !== 1) throw new Error('the row is not there yet');
        const letThrough = async () => void (await client.query('ROLLBACK'));
        stage.beforeEnd(letThrough);
        return letThrough;
      },
      async arrived(email, name) {
        const client = await stage.owner(away);
        const sql = `SELECT FROM ${hop.target.schemaName}.employees WHERE email = $1 AND first_name = $2`;
        await until(async () => (await client.query(sql, [email, name])).rowCount === 1);
      },
    });
  });
}
