import type pg from 'pg';
import { joinedTransaction } from '../../database/ddl/ddl-connection.ts';
import { dropTenantSchema } from '../../database/provisioning/tenant-schema.ts';
import { exclusively } from '../../database/transfer/claim.ts';
import { readPlacement, revokeClaim } from '../../database/transfer/fence.ts';
import { endSessionsOfAttempt } from '../../database/transfer/reshape/attempt-session.ts';
import { discardUnusedChanges } from '../../database/transfer/reshape/capture.ts';
import { eraseSharedRows } from '../../database/transfer/reshape/erase-shared-rows.ts';
import { asOwnerOf } from '../../places/place-database.ts';
import type { Hop } from '../hop.ts';

/** Requests hold a transaction open for 30 s at most, and writes are not captured any more when none of them is left. */
const PATIENCE_MS = 40_000;

/**
 * Ends the attempt before its commit point: takes the tenant from it, then drops what it made, and nothing else. May
 * be repeated, and does nothing where nothing is left. The secret of the target is not touched.
 * @throws {MoveCommitted} the placement is past the attempt: there is nothing to roll back.
 * @throws {AttemptBusy | WritersBusy} and 55P03: nothing is decided yet, or not everything is dropped; call it again.
 */
export async function rollBackReshape(hop: Hop): Promise<void> {
  await asOwnerOf(hop.source, async (owner) => {
    // A copy may take minutes: its end is not waited for.
    const endSessions = () => endSessionsOfAttempt(owner, hop.attempt);
    await revokeClaim(owner, hop, endSessions, { patienceMs: PATIENCE_MS });
    // What had begun before the claim was taken cannot commit, but could still hold the locks of its tables.
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

/** Only while no other attempt has the tenant: it would be filling the same tables, and has emptied them itself. */
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
  await eraseSharedRows(owner, tenantId, guarded, Number.POSITIVE_INFINITY);
}
