import type pg from 'pg';
import { joinedTransaction } from '../../database/ddl/ddl-connection.ts';
import { claimedModestly } from '../../database/transfer/reshape/attempt-session.ts';
import { captureOn, isCapturing } from '../../database/transfer/reshape/capture.ts';
import { eraseSharedRows } from '../../database/transfer/reshape/erase-shared-rows.ts';
import { createBareSchema } from '../../database/transfer/target-schema.ts';
import { tablesVersionOf } from '../../places/place.ts';
import { schemaSettings } from '../../places/place-database.ts';
import type { Hop, HopContext, PhaseOutcome } from '../hop.ts';
import { agreeOnTables, claimForHop } from '../tables-of-hop.ts';
import { inAttemptSession } from './reshape-session.ts';

/**
 * Claims the tenant, makes or empties the target's tables, and switches capture on.
 * @throws {TablesUpgrading | TablesNewer | ClaimLost | AttemptBusy | WritersBusy} and the errors of PostgreSQL and Secrets Manager.
 */
export async function prepareReshape(context: HopContext, cursor?: unknown): Promise<PhaseOutcome> {
  const { deadline } = context;
  const { attempt, target } = context.hop;
  return inAttemptSession(context, cursor, async (owner) => {
    await claimForHop(owner, context.hop);
    // Capture is switched on last: delivered again, perhaps after the copy, the phase must not empty the target.
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
  const { attempt, target } = hop;
  const settings = await schemaSettings(target, attempt.tenantId);
  const schema = { ...settings, schemaVersion: tablesVersionOf(target) };
  await claimedModestly(owner, hop.attempt, () =>
    createBareSchema(owner, schema, () => false, joinedTransaction),
  );
}

/** An earlier stay of the tenant, or an attempt that was not rolled back completely, may have left rows. */
async function clearSharedTables(owner: pg.Client, { attempt }: Hop, deadline: number): Promise<boolean> {
  const outcome = await eraseSharedRows(
    owner,
    attempt.tenantId,
    // At the attempt's epoch the tenant lives in a schema: the hop's source says so.
    (batch) => claimedModestly(owner, attempt, batch, { seconds: 600 }),
    deadline,
  );
  return outcome === 'erased';
}
