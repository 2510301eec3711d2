import type pg from 'pg';
import { joinedTransaction } from '../../database/ddl/ddl-connection.ts';
import { dropTenantSchema } from '../../database/provisioning/tenant-schema.ts';
import { analyzeSharedTables } from '../../database/tables/column-samples.ts';
import { exclusively } from '../../database/transfer/claim.ts';
import { readPlacement, revokeClaim } from '../../database/transfer/fence.ts';
import { endSessionsOfAttempt } from '../../database/transfer/reshape/attempt-session.ts';
import { discardUnusedChanges } from '../../database/transfer/reshape/capture.ts';
import { eraseSharedRows } from '../../database/transfer/reshape/erase-shared-rows.ts';
import { asOwnerOf } from '../../places/place-database.ts';
import type { Hop } from '../hop.ts';

/** A request keeps its transaction open for 30 s at most. */
const PATIENCE_MS = 40_000;

/**
 * Rolls back an attempt that has not committed its hop: revokes its claim, then drops what it made, and nothing else, except the
 * secret of the target's role. May be repeated, and does nothing where nothing is left.
 * @throws {MoveCommitted} the hop is committed; nothing was changed.
 * @throws {AttemptBusy | WritersBusy} and 55P03: nothing is decided yet, or not everything is dropped; call it again.
 */
export async function rollBackReshape(hop: Hop): Promise<void> {
  await asOwnerOf(hop.source, async (owner) => {
    // A copy may take minutes: its end is not waited for.
    const endSessions = () => endSessionsOfAttempt(owner, hop.attempt);
    await revokeClaim(owner, hop, endSessions, { patienceMs: PATIENCE_MS });
    // What had begun before the claim was revoked cannot commit, but may still hold locks of its tables.
    await endSessionsOfAttempt(owner, hop.attempt);
    if (hop.target.isolationModel === 'shared') await eraseTarget(owner, hop);
    else await dropTarget(owner, hop);
    await discardUnusedChanges(owner, hop.attempt.tenantId);
  });
}

async function dropTarget(owner: pg.Client, { attempt, target }: Hop): Promise<void> {
  const { tenantId } = attempt;
  const { schemaName, roleName } = target;
  await exclusively(owner, attempt, () =>
    dropTenantSchema(owner, { tenantId, schemaName, roleName }, joinedTransaction),
  );
}

/** Only while no other attempt has claimed the tenant: that one may be filling the same tables, and has emptied them itself. */
async function eraseTarget(owner: pg.Client, { attempt }: Hop): Promise<void> {
  const { tenantId, epoch } = attempt;
  const guarded = (batch: () => Promise<number>) =>
    exclusively(
      owner,
      attempt,
      async () => {
        const placement = await readPlacement(owner, tenantId);
        const mayGo = placement?.epoch === epoch && placement.mover === null;
        return mayGo && placement.isolation_model !== 'shared' ? batch() : undefined;
      },
      { seconds: 600 },
    );
  const outcome = await eraseSharedRows(owner, tenantId, guarded, Number.POSITIVE_INFINITY);
  // Samples of the copied rows would stay in the statistics, also when the tenant goes to another region later.
  if (outcome === 'erased') await analyzeSharedTables(owner);
}
