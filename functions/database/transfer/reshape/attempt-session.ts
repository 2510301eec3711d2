/**
 * The session in which a phase of a reshape works: one at a time per tenant. A phase may be delivered twice, and one that timed
 * out may still be running in the database.
 *
 * A copy or a round reads the source through one snapshot, and makes the target equal to that snapshot. Two of them in the
 * wrong order would take the target back in time: a round that began early and waited inside its transaction would write, after
 * a later round has committed, what the rows were before it, and the keys that its snapshot does not show are gone from the log.
 * So the wait must come before the snapshot, and therefore before BEGIN: inside a transaction, the statement that waits for a
 * lock has taken the snapshot already. Hence a lock of the session, not of the transaction. It is the tenant's third advisory
 * lock.
 *
 * Invariants: a session keeps the lock until it ends, and the phase works on that session: a session that has lost the lock can
 * do nothing more. A session that is idle for half a minute ends (a frozen function), and so does a statement whose client is
 * gone (a killed one).
 */

import { setTimeout as delay } from 'node:timers/promises';
import type pg from 'pg';
import { endForeignSessions } from '../../provisioning/end-foreign-sessions.ts';
import { type Attempt, type ClaimedOptions, claimed } from '../claim.ts';

const IDLE = '30s';
const CLIENT_CHECK = '2s';
const POLL_MS = 50;
/** Well below `IDLE`. */
const AWAKE_MS = 10_000;

/**
 * Waits for the tenant's session lock until `deadline` (on `performance.now()`'s clock).
 * @returns whether the session has it.
 * @param session a connection of its own, to the cluster itself: its settings change.
 */
export async function lockAttemptSession(
  session: pg.ClientBase,
  { tenantId, attemptId }: Attempt,
  deadline: number,
): Promise<boolean> {
  await joinAttempt(session, attemptId);
  for (;;) {
    const { rows } = await session.query<{ taken: boolean }>(
      'select pg_catalog.pg_try_advisory_lock(pg_catalog.uuid_hash_extended($1, 2)) as taken',
      [tenantId],
    );
    if (rows[0]?.taken) return true;
    await endForeignSessions(session, tenantId);
    if (performance.now() > deadline) return false;
    await delay(POLL_MS * (0.5 + Math.random()));
  }
}

/**
 * Marks a session as one of the attempt: it ends with the attempt. A phase may have several beside the one that has the lock.
 * @param session a connection of its own, to the cluster itself: its settings change.
 */
export async function joinAttempt(session: pg.ClientBase, attemptId: string): Promise<void> {
  await session.query(
    `select pg_catalog.set_config('application_name', $1, false),
            pg_catalog.set_config('idle_session_timeout', '${IDLE}', false),
            pg_catalog.set_config('client_connection_check_interval', '${CLIENT_CHECK}', false)`,
    [sessionName(attemptId)],
  );
}

/**
 * Runs `work`, which may use other sessions only, and keeps this one from ending as an idle one meanwhile. The session of a
 * frozen function ends all the same, since a frozen function sends nothing.
 */
export async function keepingAwake<Result>(
  session: pg.ClientBase,
  work: () => Promise<Result>,
): Promise<Result> {
  // Ignore this error: the next statement on the session fails, too.
  const timer = setInterval(() => session.query('select').catch(() => {}), AWAKE_MS);
  try {
    return await work();
  } finally {
    clearInterval(timer);
  }
}

/** Ends all sessions in which phases of the attempt work, and waits for their end. */
export async function endSessionsOfAttempt(owner: pg.ClientBase, { attemptId }: Attempt): Promise<void> {
  await owner.query(
    `select pg_catalog.pg_terminate_backend(pid, 5000) from pg_catalog.pg_stat_activity
     where application_name = $1 and usename = current_user and datname = pg_catalog.current_database()
       and pid <> pg_catalog.pg_backend_pid()`,
    [sessionName(attemptId)],
  );
}

const sessionName = (attemptId: string) => `strata move ${attemptId}`;

/**
 * One transaction of the attempt before its commit, on one processor: the others are left to the cell's other tenants.
 * @throws {ClaimLost | AttemptBusy} and what `work` throws; nothing is committed then.
 */
export function claimedModestly<Result>(
  owner: pg.ClientBase,
  attempt: Attempt,
  work: () => Promise<Result>,
  options: Omit<ClaimedOptions, 'phase'> = {},
): Promise<Result> {
  const modestly = async () => {
    await owner.query('SET LOCAL max_parallel_workers_per_gather = 0');
    return work();
  };
  return claimed(owner, attempt, modestly, options);
}
