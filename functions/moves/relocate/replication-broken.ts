import { ReplicationLost } from '../../database/transfer/errors.ts';
import { ReplicationBroken } from '../errors.ts';

/** A worker that fails is started again by PostgreSQL, every five seconds; so many failures are neither an accident nor a failover. */
const FAILURES = 10;

/** @throws {ReplicationBroken} where the replication cannot go on; and what `work` throws. */
export async function orReplicationBroken<Result>(work: () => Promise<Result>): Promise<Result> {
  try {
    return await work();
  } catch (error) {
    if (error instanceof ReplicationLost) throw new ReplicationBroken({ cause: error });
    throw error;
  }
}

/**
 * @param kept by an earlier step: failures that were to be expected (see late-keys).
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
