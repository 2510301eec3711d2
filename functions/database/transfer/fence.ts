/**
 * The fence, which pauses a tenant's writes at the end of a hop, and the commit point behind it.
 *
 *   active ──raise──▶ fenced (fresh token, expiry) ──commit──▶ active or moved, in the next epoch
 *      ▲                 │
 *      └─ lower, expiry ─┘
 *
 * The tenant's writers' lock is an advisory lock (`tenancy.lock_key`) that every write transaction holds shared. Invariants:
 * - a fence is raised under the writers' lock held exclusively: every write that entered before has ended by then, and every
 *   write that enters later is refused (TN001);
 * - each raising has a token of its own, and a commit counts only under that token and before it expires, by the database's
 *   clock. A function that was frozen and wakes up too late changes nothing;
 * - the row of `tenancy.placement` in the database that the tenant leaves is the only answer to whether a hop is committed
 *   (`showsCommit`). The registry, and the results of phases, follow it.
 */

import { randomUUID } from 'node:crypto';
import { setTimeout as delay } from 'node:timers/promises';
import type pg from 'pg';
import type { IsolationModel } from '../../contracts/tenant.ts';
import { assertUuid, literal } from '../ddl/identifier.ts';
import { sqlStateOf } from '../session/sql-state.ts';
import { type Attempt, behind, endingForeignSessions, exclusively, inTransaction } from './claim.ts';
import { ClaimLost, FenceLost, MoveCommitted, WritersBusy } from './errors.ts';

export interface Fence {
  readonly token: string;
  /** When writers began to wait, on this process's `performance.now()` clock, in milliseconds. */
  readonly since: number;
}

/** How long to repeat the request for the writers' lock. */
export interface Patience {
  readonly patienceMs?: number;
  /** Called after each request that timed out, with how long writers waited behind it. */
  readonly onBusy?: (pausedMs: number) => void;
}

export interface LockOptions {
  /** How long one request for the writers' lock may wait: new writers wait behind it. */
  readonly lockTimeoutMs?: number;
  /**
   * May be set where the work begins with statements on the same connection, and does nothing else before they are answered:
   * they are pipelined behind the lock request.
   */
  readonly pipelined?: boolean;
}

export interface FenceOptions extends Patience, LockOptions {
  /** After which the fence expires and writers continue. */
  readonly seconds?: number;
}

/** A longer request would let writers queue up behind a write transaction that stays open. */
const LOCK_TIMEOUT_MS = 100;
const TRANSACTION_SECONDS = 5;

/**
 * Pauses the tenant's writes. Those in flight end first.
 * @throws {WritersBusy} a writer holds its transaction open, or another fence is up.
 * @throws {ClaimLost} the tenant is not the attempt's, or not at its epoch.
 */
export async function raiseFence(
  owner: pg.ClientBase,
  attempt: Attempt,
  { seconds = 5, ...options }: FenceOptions = {},
): Promise<Fence> {
  if (!(seconds > 0 && seconds <= 5)) throw new TypeError('a fence is up for 5 seconds at most');
  const { tenantId, epoch, attemptId } = attempt;
  return patiently(options, async (since) => {
    const token = randomUUID();
    const raise = async () => {
      const raised = await owner.query(
        `update tenancy.placement
         set state = 'fenced', fence_token = $4,
             fence_expires_at = pg_catalog.clock_timestamp() + pg_catalog.make_interval(secs => $5)
         where tenant_id = $1 and epoch = $2 and mover = $3
           and (state = 'active' or (state = 'fenced' and fence_expires_at < pg_catalog.clock_timestamp()))`,
        [tenantId, epoch, attemptId, token, seconds],
      );
      if (raised.rowCount === 0) await refuse(owner, attempt);
    };
    await withoutWriters(owner, tenantId, raise, { ...options, pipelined: true });
    return { token, since };
  });
}

/** Lowers the fence if it is still up, so that the tenant's writes continue. */
export async function lowerFence(
  owner: pg.ClientBase,
  { tenantId }: Attempt,
  { token }: Fence,
): Promise<void> {
  await owner.query(
    `update tenancy.placement set state = 'active', fence_token = null, fence_expires_at = null
     where tenant_id = $1 and state = 'fenced' and fence_token = $2`,
    [tenantId, token],
  );
}

/** Lowers a fence that an earlier run of the same attempt has left. Call only when no other run of this attempt can be alive. */
export async function lowerAbandonedFence(
  owner: pg.ClientBase,
  { tenantId, epoch, attemptId }: Attempt,
): Promise<void> {
  await owner.query(
    `update tenancy.placement set state = 'active', fence_token = null, fence_expires_at = null
     where tenant_id = $1 and epoch = $2 and mover = $3 and state = 'fenced'`,
    [tenantId, epoch, attemptId],
  );
}

/** The place that a commit leads to. */
export interface CommittedPlace {
  readonly isolationModel: IsolationModel;
  readonly schemaName: string;
  readonly roleName: string;
  /** The forward: what requests at the old place get, in the format of `parseForward` of placement. */
  readonly forward: Readonly<Record<string, unknown>>;
}

/**
 * The commit of a reshape: part of a transaction of `withoutWriters`.
 * @throws {FenceLost}
 */
export async function commitReshape(
  owner: pg.ClientBase,
  attempt: Attempt,
  fence: Fence,
  next: CommittedPlace,
): Promise<void> {
  const { rowCount } = await owner.query(
    `update tenancy.placement
     set epoch = epoch + 1, state = 'active', capture = false, fence_token = null, fence_expires_at = null,
         previous_role_name = role_name, isolation_model = $5, schema_name = $6, role_name = $7, forward = $8
     where ${STILL_FENCED}`,
    [...conditions(attempt, fence), next.isolationModel, next.schemaName, next.roleName, next.forward],
  );
  if (rowCount === 0) throw new FenceLost('the fence ended before the move was committed');
}

/**
 * The commit of a relocate, at the source, once the tenant is placed at the target: part of a transaction of
 * `withoutWriters`.
 * @throws {FenceLost}
 */
export async function commitRelocate(
  owner: pg.ClientBase,
  attempt: Attempt,
  fence: Fence,
  { forward }: Pick<CommittedPlace, 'forward'>,
): Promise<void> {
  const { rowCount } = await owner.query(
    `update tenancy.placement
     set epoch = epoch + 1, state = 'moved', capture = false, fence_token = null, fence_expires_at = null,
         previous_role_name = role_name, forward = $5
     where ${STILL_FENCED}`,
    [...conditions(attempt, fence), forward],
  );
  if (rowCount === 0) throw new FenceLost('the fence ended before the move was committed');
}

/**
 * One short transaction under the writers' lock held exclusively: writers in flight have ended, new ones wait.
 * @throws {WritersBusy} the lock was not free in time.
 */
export async function withoutWriters<Result>(
  owner: pg.ClientBase,
  tenantId: string,
  work: () => Promise<Result>,
  options: LockOptions = {},
): Promise<Result> {
  try {
    return await endingForeignSessions(owner, { tenantId }, () =>
      inTransaction(owner, 'read committed', TRANSACTION_SECONDS, async () => {
        const locking = lockWriters(owner, tenantId, options);
        if (options.pipelined) return behind(owner, locking, work);
        await locking;
        return work();
      }),
    );
  } catch (error) {
    // Another run of the same phase has locked the placement's row with its snapshot.
    if (sqlStateOf(error) === '55P03') throw new WritersBusy('the placement is locked', { cause: error });
    throw error;
  }
}

/**
 * Takes the writers' lock exclusively, for the rest of the transaction.
 * @throws {WritersBusy}
 */
export async function lockWriters(
  owner: pg.ClientBase,
  tenantId: string,
  { lockTimeoutMs = LOCK_TIMEOUT_MS }: LockOptions = {},
): Promise<void> {
  assertUuid(tenantId);
  if (!(lockTimeoutMs >= 1 && lockTimeoutMs <= 1_000)) throw new TypeError('lockTimeoutMs is out of range');
  try {
    await owner.query(
      `SET LOCAL lock_timeout = '${Math.round(lockTimeoutMs)}ms';
       SELECT pg_catalog.pg_advisory_xact_lock(tenancy.lock_key(${literal(tenantId)}))`,
    );
  } catch (error) {
    if (sqlStateOf(error) === '55P03')
      throw new WritersBusy('a write of the tenant is still open', { cause: error });
    throw error;
  }
}

/**
 * Repeats the work while writers are busy.
 * @param work gets the time on `performance.now()`'s clock from which on writers may wait for it.
 * @throws {WritersBusy} when patience ends.
 */
export async function patiently<Result>(
  { patienceMs = 5_000, onBusy }: Patience,
  work: (since: number) => Promise<Result>,
): Promise<Result> {
  const deadline = performance.now() + patienceMs;
  for (;;) {
    const since = performance.now();
    try {
      return await work(since);
    } catch (error) {
      if (!(error instanceof WritersBusy)) throw error;
      onBusy?.(performance.now() - since);
      // Waiting writers run before the next request.
      const pause = LOCK_TIMEOUT_MS * (0.5 + Math.random());
      if (performance.now() + pause > deadline) throw error;
      await delay(pause);
    }
  }
}

export interface PlacementRow {
  readonly epoch: number;
  readonly state: 'active' | 'fenced' | 'moved';
  readonly capture: boolean;
  readonly isolation_model: IsolationModel;
  readonly schema_name: string;
  readonly role_name: string;
  readonly fence_token: string | null;
  /** The attempt that has claimed the tenant. */
  readonly mover: string | null;
  /** The attempt that has committed a relocate from here, and for how long it had paused writes, in milliseconds. */
  readonly committed_by: string | null;
  readonly pause_ms: number | null;
}

/** The tenant's placement in this database. It also tells what became of a COMMIT that was not answered. */
export async function readPlacement(
  owner: pg.ClientBase,
  tenantId: string,
): Promise<PlacementRow | undefined> {
  const { rows } = await owner.query<Omit<PlacementRow, 'epoch'> & { epoch: string | number }>(
    `select epoch, state, capture, isolation_model, schema_name, role_name, fence_token, mover,
            forward ->> 'attempt_id' as committed_by, (forward ->> 'pause_ms')::double precision as pause_ms
     from tenancy.placement where tenant_id = $1`,
    [tenantId],
  );
  const [row] = rows;
  return row && { ...row, epoch: Number(row.epoch) };
}

const STILL_FENCED = `tenant_id = $1 and epoch = $2 and mover = $3 and state = 'fenced' and fence_token = $4
       and fence_expires_at > pg_catalog.clock_timestamp()`;

function conditions({ tenantId, epoch, attemptId }: Attempt, { token }: Fence): unknown[] {
  return [tenantId, epoch, attemptId, token];
}

async function refuse(owner: pg.ClientBase, { tenantId, epoch, attemptId }: Attempt): Promise<never> {
  const row = await readPlacement(owner, tenantId);
  if (row?.mover === attemptId && row.epoch === epoch && row.state === 'fenced')
    throw new WritersBusy('an earlier fence has not expired yet');
  throw new ClaimLost('the tenant is not the attempt’s any more');
}

/**
 * The forward of a tenant that an attempt takes to another database, with what must be known of the commit afterwards:
 * which attempt made it, and how long writes had been paused, in milliseconds, should the function die behind it.
 */
export function withCommitRecord(
  forward: Readonly<Record<string, unknown>>,
  { attemptId }: Attempt,
  pauseMs: number,
): Record<string, unknown> {
  return { ...forward, attempt_id: attemptId, pause_ms: pauseMs };
}

/** As much of a hop as its commit can be told by. */
export interface Commitment {
  readonly attempt: Attempt;
  readonly kind: 'reshape' | 'relocate';
  readonly target: { readonly schemaName: string; readonly roleName: string };
}

/**
 * Whether the tenant's row in the database that it leaves says that the attempt has committed its hop. The only answer
 * there is: every other record of a commit follows this one.
 *
 * The commit takes the row to the next epoch. A relocate leaves it `moved`, with the attempt in its forward (which outlives
 * the claim); a reshape leaves it with the schema and role of the target, whose names belong to the attempt. Of a row that
 * another attempt has claimed or committed, this one says no.
 */
export function showsCommit(row: PlacementRow | undefined, { attempt, kind, target }: Commitment): boolean {
  const { epoch, attemptId } = attempt;
  if (row?.epoch !== epoch + 1) return false;
  if (kind === 'relocate')
    return row.state === 'moved' && (row.committed_by ?? row.mover ?? attemptId) === attemptId;
  return (
    row.state !== 'moved' &&
    (row.mover ?? attemptId) === attemptId &&
    row.schema_name === target.schemaName &&
    row.role_name === target.roleName
  );
}

/**
 * Revokes the claim of an attempt that is rolled back, and lowers its fence: afterwards the attempt can commit
 * nothing, and no writer notes changes for it. Does nothing where the tenant is another attempt's by now.
 * @param endSessions ends what the attempt has under way, so that its end need not be waited for.
 * @throws {MoveCommitted} the attempt has committed its hop.
 * @throws {AttemptBusy | WritersBusy} nothing is decided yet; call it again.
 */
export async function revokeClaim(
  owner: pg.ClientBase,
  commitment: Commitment,
  endSessions: () => Promise<void>,
  { patienceMs = 0 }: Pick<Patience, 'patienceMs'> = {},
): Promise<void> {
  const { attempt } = commitment;
  const { tenantId, epoch, attemptId } = attempt;
  await patiently({ patienceMs }, async () => {
    await endSessions();
    await exclusively(owner, attempt, async () => {
      // Under both locks: a commit holds the writers' lock only, so it has ended, or has not begun.
      await lockWriters(owner, tenantId);
      if (showsCommit(await readPlacement(owner, tenantId), commitment))
        throw new MoveCommitted('the attempt has moved the tenant');
      await owner.query(
        `update tenancy.placement
         set mover = null, capture = false, fence_token = null, fence_expires_at = null,
             state = case state when 'fenced' then 'active' else state end
         where tenant_id = $1 and epoch = $2 and mover = $3`,
        [tenantId, epoch, attemptId],
      );
    });
  });
}

/** Ends the sessions that hold the tenant's attempts' lock here: they belong to functions that do not answer any more. */
export async function endAttemptSessions(
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
