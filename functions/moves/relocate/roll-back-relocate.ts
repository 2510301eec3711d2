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
 * Undoes an attempt that has not committed the move: the tenant is writable at the source as soon as the first
 * statement of it has ended, and afterwards nothing of the attempt is left on either side. May be repeated and killed
 * anywhere. The secret of the target's role is not its concern.
 *
 * The publication is the first thing that an attempt makes and the last that is dropped: without it there is nothing at
 * the target, which may not even exist.
 * @throws {MoveCommitted} it is too late; nothing was changed.
 * @throws {AttemptBusy | WritersBusy} and the drivers' errors; try again later.
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

/** The key is had once the attempt's transactions at the target have ended; it begins no other any more. */
async function emptyTarget(target: pg.Client, { attempt, target: place }: Hop): Promise<void> {
  await exclusively(target, attempt, async () => {
    await removeCanary(target, attempt.attemptId);
    await removeTargetPlacement(target, { tenantId: attempt.tenantId, ...place });
  });
}
