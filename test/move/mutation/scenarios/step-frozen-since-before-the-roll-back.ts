import { randomUUID } from 'node:crypto';
import type { Hop } from '../../../../functions/moves/hop.ts';
import { StepLog } from '../../hop-world.ts';
import { onStage } from '../scenario.ts';
import type { Stage } from '../stage.ts';

/**
 * A transaction of an attempt stays open while the attempt is rolled back, and is committed in the middle of the next
 * one, bringing a row that was deleted meanwhile: or the roll-back waits for it. (Here it has no name by which the
 * roll-back could find and end its session, as steps of a reshape have besides.)
 */
export const stepFrozenSinceBeforeTheRollBack = onStage('schema', async (stage) => {
  const { code } = stage;
  const first = await stage.hop('reshape', 'shared');
  await new StepLog(first).run(code.prepareReshape);
  const thawed = Promise.withResolvers<void>();
  const frozen = Promise.withResolvers<void>();
  const copying = copyAda(stage, first, async () => {
    frozen.resolve();
    await thawed.promise;
  });
  await frozen.promise;
  const rollingBack = code.rollBackReshape(first);
  if (await stage.waitsOrEnds(rollingBack)) {
    thawed.resolve();
    await copying;
  }
  await rollingBack;
  await stage.write((visitor) => visitor.remove('ada'));
  const log = new StepLog({
    ...first,
    moveId: randomUUID(),
    attempt: { ...first.attempt, attemptId: randomUUID() },
  });
  for (const step of [code.prepareReshape, code.copyReshape, code.catchUpReshape]) await log.run(step);
  thawed.resolve();
  await copying;
  await stage.cutOver(log);
  return stage.violations();
});

async function copyAda(stage: Stage, { attempt, source }: Hop, pause: () => Promise<void>): Promise<void> {
  const owner = await stage.owner();
  await stage.code.claim.claimed(owner, attempt, async () => {
    await owner.query('SET LOCAL idle_in_transaction_session_timeout = 0');
    await owner.query('SELECT tenancy.enter_move($1, NULL)', [attempt.tenantId]);
    await owner.query(
      `INSERT INTO shared.employees (tenant_id, employee_id, email, first_name, last_name)
       SELECT $1, employee_id, email, first_name, last_name FROM ${source.schemaName}.employees WHERE email = 'ada'`,
      [attempt.tenantId],
    );
    await pause();
  });
}
