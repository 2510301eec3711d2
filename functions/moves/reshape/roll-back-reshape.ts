import type pg from 'pg';
import { joinedTransaction } from '../../database/ddl/ddl-connection.ts';
import { dropTenantSchema } from '../../database/provisioning/tenant-schema.ts';
import { exclusively } from '../../database/transfer/claim.ts';
import { MoveCommitted } from '../../database/transfer/errors.ts';
import { lockWriters, patiently, readPlacement } from '../../database/transfer/fence.ts';
import { discardUnusedChanges } from '../../database/transfer/reshape/capture.ts';
import { eraseSharedRows } from '../../database/transfer/reshape/erase-shared-rows.ts';
import { endSessionsOf } from '../../database/transfer/reshape/turn.ts';
import { asOwnerOf, type Hop } from '../hop.ts';

/** Requests hold a transaction open for 30 s at most, and writes are not captured any more when none of them is left. */
const PATIENCE_MS = 40_000;

/**
 * Ends the attempt before its commit point: takes the tenant from it, then drops what it made, and nothing else. May
 * be repeated, and does nothing where nothing is left. The secret of the target is not touched.
 * @throws {MoveCommitted} the placement is past the attempt: there is nothing to roll back.
 * @throws {MoverBusy | WritersBusy} and 55P03: nothing is decided yet, or not everything is dropped; call it again.
 */
export async function rollBackReshape(hop: Hop): Promise<void> {
  await asOwnerOf(hop.source, async (owner) => {
    await takeAway(owner, hop);
    // What had begun before the claim was taken cannot commit, but could still hold the locks of its tables.
    await endSessionsOf(owner, hop.attempt);
    if (hop.target.isolationModel === 'shared') await eraseTarget(owner, hop);
    else await dropTarget(owner, hop);
    await discardUnusedChanges(owner, hop.attempt.tenantId);
  });
}

/** Under both keys: no step of the attempt can commit any more, and no writer notes changes for it. */
async function takeAway(owner: pg.Client, { attempt }: Hop): Promise<void> {
  const { tenantId, epoch, attemptId } = attempt;
  const take = async () => {
    // A copy may take minutes: its end is not waited for.
    await endSessionsOf(owner, attempt);
    await exclusively(owner, attempt, async () => {
      await lockWriters(owner, tenantId);
      const placement = await readPlacement(owner, tenantId);
      if (placement && (placement.epoch > epoch || placement.state === 'moved'))
        throw new MoveCommitted('the tenant has gone on from where the attempt found it');
      await owner.query(
        `update tenancy.placement
         set mover = null, capture = false, fence_token = null, fence_expires_at = null,
             state = case state when 'fenced' then 'active' else state end
         where tenant_id = $1 and epoch = $2 and mover = $3`,
        [tenantId, epoch, attemptId],
      );
    });
  };
  await patiently({ patienceMs: PATIENCE_MS }, take);
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
