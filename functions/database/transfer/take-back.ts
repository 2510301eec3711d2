import type pg from 'pg';
import { type Attempt, exclusively } from './claim.ts';
import { departureOf } from './departure.ts';
import { MoveCommitted } from './errors.ts';
import { readPlacement, withoutWriters } from './fence.ts';

/**
 * Takes the tenant from an attempt that is given up, and lets its writes go on: after that the attempt can commit
 * nothing. Does nothing where the tenant is another attempt's by now.
 * @throws {MoveCommitted} it has committed the move.
 * @throws {MoverBusy | WritersBusy}
 */
export async function takeBack(owner: pg.ClientBase, second: pg.ClientBase, attempt: Attempt): Promise<void> {
  await endMovers(owner, attempt);
  const { tenantId, epoch, attemptId } = attempt;
  // Two connections, because the flip holds the writers' key only: it has ended, or has not begun.
  await exclusively(owner, attempt, () =>
    withoutWriters(second, tenantId, async () => {
      const row = await readPlacement(second, tenantId);
      if ((row?.mover === attemptId && row.epoch > epoch) || (await departureOf(second, attempt)))
        throw new MoveCommitted('the attempt has moved the tenant');
      await second.query(
        `update tenancy.placement
         set mover = null, state = 'active', fence_token = null, fence_expires_at = null
         where tenant_id = $1 and epoch = $2 and mover = $3`,
        [tenantId, epoch, attemptId],
      );
    }),
  );
}

/** Ends the sessions that hold the tenant's movers' key here: they belong to functions that do not answer any more. */
export async function endMovers(
  owner: pg.ClientBase,
  { tenantId }: Pick<Attempt, 'tenantId'>,
): Promise<void> {
  await owner.query(
    `select pg_catalog.pg_terminate_backend(l.pid)
     from pg_catalog.pg_locks l join pg_catalog.pg_database d on d.oid = l.database
       cross join (select tenancy.mover_key($1) as key) k
     where l.locktype = 'advisory' and l.objsubid = 1 and l.granted and l.mode = 'ShareLock' and l.pid <> pg_catalog.pg_backend_pid()
       and d.datname = pg_catalog.current_database()
       and l.classid::bigint = (k.key >> 32) & 4294967295 and l.objid::bigint = k.key & 4294967295`,
    [tenantId],
  );
}
