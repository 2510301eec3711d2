import type pg from 'pg';
import type { Attempt } from '../claim.ts';
import { ClaimLost } from '../errors.ts';
import { patiently, readPlacement, withoutWriters } from '../fence.ts';
import { claimedModestly } from './attempt-session.ts';

/**
 * From here on the keys of all rows that requests write for the tenant are noted. Writers in flight end first: a copy
 * whose snapshot is taken afterwards sees what they wrote, and whatever it does not see is noted. May be repeated.
 * @throws {ClaimLost | WritersBusy | AttemptBusy}
 */
export async function captureOn(owner: pg.ClientBase, attempt: Attempt): Promise<void> {
  const { tenantId, epoch, attemptId } = attempt;
  await claimedModestly(owner, attempt, () => discardUnusedChanges(owner, tenantId));
  await patiently({}, () =>
    withoutWriters(owner, tenantId, async () => {
      const { rowCount } = await owner.query(
        'update tenancy.placement set capture = true where tenant_id = $1 and epoch = $2 and mover = $3',
        [tenantId, epoch, attemptId],
      );
      if (rowCount === 0) throw new ClaimLost('the tenant is not the attempt’s any more');
    }),
  );
}

/** Whether `captureOn` has been done by the attempt. */
export async function isCapturing(owner: pg.ClientBase, attempt: Attempt): Promise<boolean> {
  const placement = await readPlacement(owner, attempt.tenantId);
  return (
    placement?.mover === attempt.attemptId && placement.epoch === attempt.epoch && placement.capture === true
  );
}

/**
 * Deletes the keys that were noted for an attempt that has ended. One statement: its snapshot shows either no capture, and then
 * no attempt needs the keys, or a capture, and then it deletes nothing.
 */
export async function discardUnusedChanges(owner: pg.ClientBase, tenantId: string): Promise<void> {
  await owner.query(
    `delete from tenancy.captured_changes c using tenancy.placement p
     where c.tenant_id = $1 and p.tenant_id = $1 and not p.capture`,
    [tenantId],
  );
}
