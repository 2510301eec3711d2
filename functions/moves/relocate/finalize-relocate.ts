import type pg from 'pg';
import { inTransaction } from '../../database/transfer/claim.ts';
import { dropAliasTables } from '../../database/transfer/replication/alias-tables.ts';
import { clearMarkers } from '../../database/transfer/replication/marker.ts';
import { unpublish } from '../../database/transfer/replication/publication.ts';
import { dropSlots } from '../../database/transfer/replication/slot.ts';
import {
  endWorkers,
  subscriptionOid,
  suspend,
  unsubscribe,
} from '../../database/transfer/replication/subscription.ts';
import { type Hop, replicationName } from '../hop.ts';
import { onBothSides } from './both-sides.ts';

const SECONDS = 30;

/**
 * Ends the replication and leaves nothing of it on either side. May be repeated, and killed anywhere.
 * @throws the drivers' errors; try again later.
 */
export function finalizeRelocate(hop: Hop): Promise<void> {
  return onBothSides(hop, async ({ source, target }) => {
    await endSubscription(source, target, hop);
    await endPublication(source, hop);
    await clearMarkers(target, hop.target.schemaName);
  });
}

/** The subscription goes last, because its number is in the names of the slots with which it copied. */
export async function endSubscription(source: pg.Client, target: pg.Client, hop: Hop): Promise<void> {
  const name = replicationName(hop);
  await inTransaction(target, 'read committed', SECONDS, () => suspend(target, name));
  await endWorkers(target, name);
  await dropSlots(source, name, await subscriptionOid(target, name));
  await inTransaction(target, 'read committed', SECONDS, () => unsubscribe(target, name));
  await dropAliasTables(target, { alias: hop.source.schemaName, attemptId: hop.attempt.attemptId });
}

export async function endPublication(source: pg.Client, hop: Hop): Promise<void> {
  const name = replicationName(hop);
  await inTransaction(source, 'read committed', SECONDS, () =>
    unpublish(source, { name, schemaName: hop.source.schemaName }),
  );
}
