import type pg from 'pg';
import { type Attempt, type ClaimedOptions, claimed } from '../claim.ts';
import { ClaimLost } from '../errors.ts';
import { readPlacement } from '../fence.ts';

/**
 * One transaction of the attempt before its commit point: the target is still its to fill and to empty. After the
 * flip the claim stands, and a step that is delivered once more must not touch what requests write by then.
 * @throws {ClaimLost | MoverBusy} and what `work` throws; nothing is committed then.
 */
export function atSource<Result>(
  owner: pg.ClientBase,
  attempt: Attempt,
  work: () => Promise<Result>,
  options: ClaimedOptions = {},
): Promise<Result> {
  return claimed(
    owner,
    attempt,
    async () => {
      const placement = await readPlacement(owner, attempt.tenantId);
      if (placement?.epoch !== attempt.epoch || placement.state === 'moved')
        throw new ClaimLost('the attempt was committed already');
      // One core less for the cell's other tenants is enough.
      await owner.query('SET LOCAL max_parallel_workers_per_gather = 0');
      return work();
    },
    options,
  );
}
