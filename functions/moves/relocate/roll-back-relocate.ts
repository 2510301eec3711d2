import type pg from 'pg';
import { dropTenantSchema } from '../../database/provisioning/tenant-schema.ts';
import { exclusively } from '../../database/transfer/claim.ts';
import { endAttemptSessions, revokeClaim } from '../../database/transfer/fence.ts';
import { clearMarkers } from '../../database/transfer/replication/marker.ts';
import { isPublished } from '../../database/transfer/replication/publication.ts';
import { removeCanary, removeTargetPlacement } from '../../database/transfer/target-placement.ts';
import { asOwnerOf } from '../../places/place-database.ts';
import { type Hop, replicationName } from '../hop.ts';
import { endPublication, endSubscription } from './replication.ts';

/**
 * Rolls back an attempt that has not committed its hop: first its claim is revoked, and the tenant is writable at the source;
 * then everything that the attempt has made on either side is dropped, except the secret of the target's role. May be repeated,
 * and killed anywhere.
 *
 * The publication is the first thing that an attempt makes and the last that is dropped: where there is none, nothing is at the
 * target, which may not exist.
 * @throws {MoveCommitted} the hop is committed; nothing was changed.
 * @throws {AttemptBusy | WritersBusy} and the drivers' errors; call it again.
 */
export async function rollBackRelocate(hop: Hop): Promise<void> {
  await asOwnerOf(hop.source, async (source) => {
    await revokeClaim(source, hop, () => endAttemptSessions(source, hop.attempt));
    if (await isPublished(source, replicationName(hop))) {
      await asOwnerOf(hop.target, async (target) => {
        await emptyTarget(target, hop);
        await endSubscription(source, target, hop);
        await dropTenantSchema(target, { tenantId: hop.attempt.tenantId, ...hop.target });
      });
      await endPublication(source, hop);
    }
    await clearMarkers(source, hop.source.schemaName);
  });
}

/** Under the target's attempts' lock: the attempt's transactions there have ended, and it can begin no other. */
async function emptyTarget(target: pg.Client, { attempt, target: place }: Hop): Promise<void> {
  await exclusively(target, attempt, async () => {
    await removeCanary(target, attempt.attemptId);
    await removeTargetPlacement(target, { tenantId: attempt.tenantId, ...place });
  });
}
