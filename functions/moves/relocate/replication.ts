/**
 * The replication of a relocate, from the phases' point of view: which connections it needs, whether it still works, how it is
 * resumed and how it is ended. Its parts (publication, slot, subscription, alias tables) are in database/transfer/replication.
 */
import type pg from 'pg';
import { type BothSides, claimedAtTarget, inTransaction } from '../../database/transfer/claim.ts';
import { ReplicationLost } from '../../database/transfer/errors.ts';
import { dropAliasTables } from '../../database/transfer/replication/alias-tables.ts';
import { clearMarkers } from '../../database/transfer/replication/marker.ts';
import { unpublish } from '../../database/transfer/replication/publication.ts';
import { dropSlots } from '../../database/transfer/replication/slot.ts';
import {
  endWorkers,
  isEnabled,
  resume,
  subscriptionOid,
  suspend,
  unsubscribe,
} from '../../database/transfer/replication/subscription.ts';
import type { BuildPower } from '../../database/transfer/target-schema.ts';
import { asOwnersOf } from '../../places/place-database.ts';
import { ReplicationBroken } from '../errors.ts';
import { type Hop, replicationName } from '../hop.ts';

/** How long each transaction may take. */
const SECONDS = 30;

/**
 * Ends the replication and leaves nothing of it on either side. May be repeated, and killed anywhere.
 * @throws the drivers' errors; call it again.
 */
export function endReplication(hop: Hop): Promise<void> {
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

/** Runs `work` as the owners of both databases of a hop. @throws the driver's errors. */
export function onBothSides<Result>(
  hop: Pick<Hop, 'source' | 'target'>,
  work: (sides: { readonly source: pg.Client; readonly target: pg.Client }) => Promise<Result>,
): Promise<Result> {
  return asOwnersOf([hop.source, hop.target], ([source, target]) =>
    work({ source: source!, target: target! }),
  );
}

/** What a build at the target of a relocate may take: no request uses that schema yet. */
export const BUILD_POWER: BuildPower = { memory: '256MB', workers: 2 };

/** PostgreSQL starts a worker that fails again, every five seconds; a failover does not cause so many failures. */
const FAILURES = 10;

/** @throws {ReplicationBroken} the replication cannot continue; and what `work` throws. */
export async function reportingBrokenReplication<Result>(work: () => Promise<Result>): Promise<Result> {
  try {
    return await work();
  } catch (error) {
    if (error instanceof ReplicationLost) throw new ReplicationBroken({ cause: error });
    throw error;
  }
}

/**
 * @param kept by an earlier phase: failures that were expected (see late-keys).
 * @throws {ReplicationLost}
 */
export function refuseFailures(
  state: { readonly failures: number } | undefined,
  kept: Readonly<Record<string, unknown>>,
): void {
  if (!state) throw new ReplicationLost('there is no subscription');
  if (state.failures - Number(kept.forgivenFailures ?? 0) >= FAILURES)
    throw new ReplicationLost('changes or rows cannot be applied');
}

/** Resumes the subscription, if it is suspended. @throws {ClaimLost | AttemptBusy} */
export async function resumeReplication(sides: BothSides, hop: Hop): Promise<void> {
  const name = replicationName(hop);
  if ((await isEnabled(sides.target, name)) === false)
    await claimedAtTarget(sides, hop.attempt, () => resume(sides.target, name));
}
