import type pg from 'pg';
import { joinedTransaction } from '../../database/ddl/ddl-connection.ts';
import { createArrivingSchema } from '../../database/transfer/arriving-schema.ts';
import { atSource } from '../../database/transfer/reshape/at-source.ts';
import { captureOn, isCapturing } from '../../database/transfer/reshape/capture.ts';
import { eraseSharedRows } from '../../database/transfer/reshape/erase-shared-rows.ts';
import type { Hop, StepContext, StepOutcome } from '../hop.ts';
import { agreeOnTables, claimForHop } from '../tables-of-hop.ts';
import { arrivingSchemaOf } from '../target/arriving-schema-of.ts';
import { inTurn } from './in-turn.ts';

/**
 * Gives the tenant to the attempt, makes the place where its rows will arrive, and begins to note what changes.
 * @throws {TablesUpgrading | TablesNewer | ClaimLost | MoverBusy | WritersBusy} and the errors of PostgreSQL and Secrets Manager.
 */
export async function prepareReshape(context: StepContext, cursor?: unknown): Promise<StepOutcome> {
  const { deadline } = context;
  const { attempt, target } = context.hop;
  return inTurn(context, cursor, async (owner) => {
    await claimForHop(owner, context.hop);
    // Capture is the last thing here: delivered again, perhaps after the copy, the step must not empty the target.
    if (await isCapturing(owner, attempt)) return { done: true };
    await context.progress({});
    await agreeOnTables(owner, context);
    if (target.isolationModel !== 'shared') await makeSchema(owner, context.hop);
    else if (!(await clearSharedTables(owner, context.hop, deadline))) return { done: false };
    await captureOn(owner, attempt);
    return { done: true };
  });
}

async function makeSchema(owner: pg.Client, hop: Hop): Promise<void> {
  const schema = await arrivingSchemaOf(hop);
  await atSource(owner, hop.attempt, () =>
    createArrivingSchema(owner, schema, () => false, joinedTransaction),
  );
}

/** An earlier stay of the tenant, or an attempt that was rolled back halfway, may have left rows that nobody reads. */
async function clearSharedTables(owner: pg.Client, { attempt }: Hop, deadline: number): Promise<boolean> {
  const outcome = await eraseSharedRows(
    owner,
    attempt.tenantId,
    // At the attempt's epoch the tenant lives in a schema: the hop's source says so.
    (batch) => atSource(owner, attempt, batch, { seconds: 600 }),
    deadline,
  );
  return outcome === 'erased';
}
