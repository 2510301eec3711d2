/**
 * The attempt's transactions in the database where the tenant arrives. The claim is kept in the one that it leaves.
 *
 * Each holds the tenant's movers' key of both databases shared, and has seen, after it got the second, that the
 * transaction in which it saw the claim still stands. Who takes the claim away does so first, under the source's key
 * held exclusively, then takes the target's exclusively. So whatever the attempt began at the target has ended by
 * then, and what it begins later finds its claim gone, also where its session at the source was ended from outside.
 */
import type pg from 'pg';
import { type Attempt, claimed, inTransaction, lockMovers } from './claim.ts';

/** A transaction of a frozen mover ends by itself, so that nobody waits for it for longer. */
const TARGET_SECONDS = 30;
const IDLE_SECONDS = 5;

export interface BothSides {
  readonly source: pg.ClientBase;
  readonly target: pg.ClientBase;
}

/**
 * One transaction at the target, inside one of the attempt's at the source. Commits when `work` resolves.
 * @throws {ClaimLost | MoverBusy} and what `work` throws; nothing is committed then.
 */
export async function claimedAtTarget<Result>(
  { source, target }: BothSides,
  attempt: Attempt,
  work: () => Promise<Result>,
): Promise<Result> {
  return claimed(source, attempt, () =>
    inTransaction(target, 'read committed', TARGET_SECONDS, async () => {
      await holdTarget({ source, target }, attempt);
      return work();
    }),
  );
}

/**
 * Makes the open transaction of `target` one of the attempt's, whose claim is held by the open transaction of `source`.
 * @throws {MoverBusy} and the driver's errors where the transaction at the source has ended.
 */
export async function holdTarget({ source, target }: BothSides, { tenantId }: Attempt): Promise<void> {
  await target.query(
    `SET LOCAL idle_in_transaction_session_timeout = '${IDLE_SECONDS}s';
     SET LOCAL transaction_timeout = '${TARGET_SECONDS}s'`,
  );
  await lockMovers(target, tenantId, 'shared');
  await source.query('select');
}
