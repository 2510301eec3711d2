import type pg from 'pg';
import { type Attempt, type ClaimedOptions, claimed } from '../claim.ts';

/**
 * One transaction of the attempt before its commit point, which leaves the cell's other tenants their share.
 * @throws {ClaimLost | MoverBusy} and what `work` throws; nothing is committed then.
 */
export function atSource<Result>(
  owner: pg.ClientBase,
  attempt: Attempt,
  work: () => Promise<Result>,
  options: Omit<ClaimedOptions, 'phase'> = {},
): Promise<Result> {
  const modestly = async () => {
    // One core less for the cell's other tenants is enough.
    await owner.query('SET LOCAL max_parallel_workers_per_gather = 0');
    return work();
  };
  return claimed(owner, attempt, modestly, options);
}
