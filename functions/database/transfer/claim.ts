/**
 * Which attempt at a hop may work on a tenant.
 *
 *   `tenancy.placement.mover`:  null ──claim──▶ attempt ──release, revoke──▶ null
 *
 * The tenant's attempts' lock is an advisory lock (`tenancy.mover_key`). Invariants:
 * - a transaction of an attempt holds that lock shared, and has read its own id in the row after it got the lock, under the
 *   epoch that belongs to its work;
 * - a claim is given, released and revoked under that lock held exclusively. So once it is revoked, no transaction of the
 *   attempt commits anything more, not even one of a function that was frozen;
 * - the claim is kept in the database that the tenant leaves. A transaction in the target's database holds the lock of both
 *   databases shared, and has checked, after it got the second, that the transaction at the source which read the claim is
 *   still open. A claim is revoked under the source's lock first, then under the target's: by then whatever the attempt began
 *   at the target has ended, and what it begins later finds its claim revoked, also where its session at the source was ended.
 *
 * An advisory lock takes no transaction id: the creation of a replication slot does not wait for it.
 */
import type pg from 'pg';
import { endForeignSessions } from '../provisioning/end-foreign-sessions.ts';
import { sqlStateOf } from '../session/sql-state.ts';
import { AttemptBusy, ClaimLost, WritersBusy } from './errors.ts';

/** One attempt at one hop of a move; every name that it makes carries its number. */
export interface Attempt {
  readonly tenantId: string;
  /** Of the place that the tenant leaves. */
  readonly epoch: number;
  readonly attemptId: string;
}

export interface ClaimedOptions {
  /** One snapshot for all statements, or a new one for each. */
  readonly isolation?: 'read committed' | 'repeatable read';
  /** After which PostgreSQL ends the transaction, whatever it is doing. */
  readonly seconds?: number;
  /** Whether the work belongs before the commit or behind it; before it when absent. */
  readonly phase?: ClaimPhase;
}

/**
 * The claim outlives the commit, but the phases before the commit must not run behind it: one that is delivered once more
 * would empty or fill the place where the tenant lives by then.
 */
export type ClaimPhase = 'before the commit' | 'after the commit';

/** How long a function that is frozen inside a transaction can hold its locks. */
const IDLE_SECONDS = 5;
const LOCK_TIMEOUT_MS = 5_000;

/**
 * Claims the tenant for the attempt. Does nothing where the attempt has it already.
 * @param beforeNew runs in the same transaction before a new claim; nothing is claimed where it throws.
 * @throws {ClaimLost} it is placed under another epoch, has moved, or belongs to another attempt.
 * @throws {AttemptBusy}
 */
export async function claimTenant(
  owner: pg.ClientBase,
  attempt: Attempt,
  beforeNew?: () => Promise<void>,
): Promise<void> {
  const { tenantId, epoch, attemptId } = attempt;
  await exclusively(owner, attempt, async () => {
    const { rows } = await owner.query<{ mover: string | null }>(
      `select mover from tenancy.placement
       where tenant_id = $1 and epoch = $2 and state <> 'moved' and (mover is null or mover = $3)`,
      [tenantId, epoch, attemptId],
    );
    const [row] = rows;
    if (!row) throw new ClaimLost('the tenant is not there to be moved');
    if (row.mover !== null) return;
    await beforeNew?.();
    const { rowCount } = await owner.query(
      "update tenancy.placement set mover = $3 where tenant_id = $1 and epoch = $2 and state <> 'moved'",
      [tenantId, epoch, attemptId],
    );
    if (rowCount === 0) throw new ClaimLost('the tenant is not there to be moved');
  });
}

/** Releases the claim, once the attempt's transactions have ended. Does nothing where the claim is not the attempt's. @throws {AttemptBusy} */
export async function releaseClaim(owner: pg.ClientBase, attempt: Attempt): Promise<void> {
  await exclusively(owner, attempt, async () => {
    await owner.query('update tenancy.placement set mover = null where tenant_id = $1 and mover = $2', [
      attempt.tenantId,
      attempt.attemptId,
    ]);
  });
}

/**
 * One transaction of the attempt, on `owner`'s connection: it commits only while the attempt has its claim.
 * @throws {ClaimLost | AttemptBusy} and what `work` throws; nothing is committed then.
 */
export async function claimed<Result>(
  owner: pg.ClientBase,
  attempt: Attempt,
  work: () => Promise<Result>,
  { isolation = 'read committed', seconds = 60, phase }: ClaimedOptions = {},
): Promise<Result> {
  return endingForeignSessions(owner, attempt, () =>
    inTransaction(owner, isolation, seconds, async () => {
      await holdClaim(owner, attempt, { isolation, ...(phase ? { phase } : {}) });
      return work();
    }),
  );
}

/**
 * Makes the open transaction of `owner` one of the attempt's, for as long as it lasts.
 * @throws {ClaimLost | AttemptBusy}
 */
export async function holdClaim(
  owner: pg.ClientBase,
  { tenantId, epoch, attemptId }: Attempt,
  { isolation = 'read committed', phase = 'before the commit' }: Omit<ClaimedOptions, 'seconds'> = {},
): Promise<void> {
  await lockAttempts(owner, tenantId, 'shared');
  // A repeatable snapshot may be older than the lock: locking the row as well fails (40001) if the claim has changed.
  const lock = isolation === 'repeatable read' ? ' for share' : '';
  const { rowCount } = await owner.query(
    `select from tenancy.placement where tenant_id = $1 and mover = $2 and epoch = $3${lock}`,
    [tenantId, attemptId, phase === 'before the commit' ? epoch : epoch + 1],
  );
  if (rowCount === 0) throw new ClaimLost('the tenant is not the attempt’s any more');
}

/** One transaction while no transaction of any attempt at the tenant is open here: to give, release or revoke a claim. */
export async function exclusively<Result>(
  owner: pg.ClientBase,
  { tenantId }: Pick<Attempt, 'tenantId'>,
  work: () => Promise<Result>,
  { seconds = 60 }: Pick<ClaimedOptions, 'seconds'> = {},
): Promise<Result> {
  return endingForeignSessions(owner, { tenantId }, () =>
    inTransaction(owner, 'read committed', seconds, async () => {
      await lockAttempts(owner, tenantId, 'exclusive');
      return work();
    }),
  );
}

/**
 * Where the transaction could not get a lock of the tenant, ends other tenants' sessions that hold it, so that a repeated
 * transaction can get it. The error is thrown in any case.
 */
export async function endingForeignSessions<Result>(
  owner: pg.ClientBase,
  { tenantId }: Pick<Attempt, 'tenantId'>,
  transaction: () => Promise<Result>,
): Promise<Result> {
  try {
    return await transaction();
  } catch (error) {
    if (error instanceof AttemptBusy || error instanceof WritersBusy)
      await endForeignSessions(owner, tenantId).catch(() => {});
    throw error;
  }
}

/** Commits when `work` resolves, rolls back when it throws. */
export async function inTransaction<Result>(
  owner: pg.ClientBase,
  isolation: 'read committed' | 'repeatable read',
  seconds: number,
  work: () => Promise<Result>,
): Promise<Result> {
  if (!Number.isSafeInteger(seconds) || seconds < 1) throw new TypeError('seconds is not a positive integer');
  const begun = owner.query(
    `BEGIN ISOLATION LEVEL ${isolation === 'repeatable read' ? 'REPEATABLE READ' : 'READ COMMITTED'};
     SET LOCAL idle_in_transaction_session_timeout = '${IDLE_SECONDS}s'; SET LOCAL transaction_timeout = '${seconds}s';
     SET LOCAL lock_timeout = '${LOCK_TIMEOUT_MS}ms'`,
  );
  try {
    const result = await behind(owner, begun, work);
    await owner.query('COMMIT');
    return result;
  } catch (error) {
    await rollBackTransaction(owner);
    throw error;
  }
}

/**
 * Ends a failed transaction, so that the session can begin the next one. A statement timeout of a few milliseconds, which
 * the transaction set for itself, is in force until its end, and can also cancel the ROLLBACK: send it again then.
 */
async function rollBackTransaction(owner: pg.ClientBase): Promise<void> {
  for (let attempts = 0; attempts < 20; attempts++) {
    try {
      await owner.query('ROLLBACK');
      return;
    } catch (error) {
      // The connection is gone, and the transaction with it.
      if (sqlStateOf(error) !== '57014') return;
    }
  }
}

/**
 * Runs `work` behind a statement that it depends on. On a connection that pipelines, `work` begins at once, and its
 * first statements share a round trip with that one; where that one fails, they fail too, in the aborted transaction.
 */
export async function behind<Result>(
  owner: pg.ClientBase,
  statement: Promise<unknown>,
  work: () => Promise<Result>,
): Promise<Result> {
  if ((owner as { pipeline?: boolean }).pipeline !== true) {
    await statement;
    return work();
  }
  const working = work();
  // Ignore this error: the first statement's error is the cause.
  working.catch(() => {});
  await statement;
  return working;
}

/** @throws {AttemptBusy} */
export async function lockAttempts(
  owner: pg.ClientBase,
  tenantId: string,
  mode: 'shared' | 'exclusive',
): Promise<void> {
  const lock = mode === 'shared' ? 'pg_advisory_xact_lock_shared' : 'pg_advisory_xact_lock';
  try {
    await owner.query(`select pg_catalog.${lock}(tenancy.mover_key($1))`, [tenantId]);
  } catch (error) {
    if (sqlStateOf(error) === '55P03')
      throw new AttemptBusy('another attempt did not end in time', { cause: error });
    throw error;
  }
}

/** How long a transaction of a frozen function can stay open at the target. */
const TARGET_SECONDS = 30;

/** Connections to the databases of both places of a hop. */
export interface BothSides {
  readonly source: pg.ClientBase;
  readonly target: pg.ClientBase;
}

/**
 * One transaction at the target, inside one of the attempt's at the source. Commits when `work` resolves.
 * @throws {ClaimLost | AttemptBusy} and what `work` throws; nothing is committed then.
 */
export async function claimedAtTarget<Result>(
  { source, target }: BothSides,
  attempt: Attempt,
  work: () => Promise<Result>,
  options: Pick<ClaimedOptions, 'phase'> = {},
): Promise<Result> {
  const atTarget = () =>
    inTransaction(target, 'read committed', TARGET_SECONDS, async () => {
      await holdTarget({ source, target }, attempt);
      return work();
    });
  return claimed(source, attempt, atTarget, options);
}

/**
 * Makes the open transaction of `target` one of the attempt's, whose claim is held by the open transaction of `source`.
 * @throws {AttemptBusy} and the driver's errors where the transaction at the source has ended.
 */
export async function holdTarget({ source, target }: BothSides, { tenantId }: Attempt): Promise<void> {
  await target.query(
    `SET LOCAL idle_in_transaction_session_timeout = '${IDLE_SECONDS}s';
     SET LOCAL transaction_timeout = '${TARGET_SECONDS}s'`,
  );
  await lockAttempts(target, tenantId, 'shared');
  await source.query('select');
}
