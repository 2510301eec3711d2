/**
 * How a rollout changes existing objects: schema `tenancy` of a database, the shared tables of a cell, a tenant's own
 * schema.
 *
 * Each change is one transaction on the owner's connection: an interrupted one leaves nothing, and a repetition finds
 * the target up to date. Invariants:
 * - It waits for a lock on a table for `LOCK_TIMEOUT_MS` at most, because all later requests wait behind it.
 * - It excludes moves. It holds the tenant's attempts' lock (`tenancy.mover_key`) exclusively and has checked that no
 *   attempt has a claim; for shared tables the lock of shared-tables-lock.ts replaces that one.
 * - It never waits for a move: an attempt holds its lock for minutes, and a waiting request for the exclusive lock
 *   would block the attempt's next transaction.
 */
import type pg from 'pg';
import { ddlLock, joinedTransaction, lockForDdl } from '../ddl/ddl-connection.ts';
import { assertUuid, literal } from '../ddl/identifier.ts';
import { versionAfter } from '../ddl/migration-history.ts';
import { TargetMoved, TargetMoving } from '../errors.ts';
import { buildNewIndexes, lacksIndexes } from '../tables/build-new-indexes.ts';
import {
  historyTable,
  isolatedTarget,
  type MigrationTarget,
  migrateTenantTables,
  migrationStatements,
  sharedTarget,
} from '../tables/migrate-tenant-tables.ts';
import type { TenantTable } from '../tables/tenant-table.ts';
import { endForeignSessions } from './end-foreign-sessions.ts';
import { type Release, thisRelease } from './release.ts';
import { lockSharedTables } from './shared-tables-lock.ts';
import { readTenancyVersion, writeTenancy } from './tenancy-schema.ts';

/** Shorter than the time that a request waits for a lock. */
export const LOCK_TIMEOUT_MS = 2_000;
/** A migration may rewrite a large table; Lambda ends after 15 minutes. */
const TRANSACTION_SECONDS = 600;
/** Limits how long a function that is frozen inside the transaction can block requests. */
const IDLE_SECONDS = 5;

const BEGIN = `BEGIN; SET LOCAL lock_timeout = '${LOCK_TIMEOUT_MS}ms';
  SET LOCAL idle_in_transaction_session_timeout = '${IDLE_SECONDS}s';
  SET LOCAL transaction_timeout = '${TRANSACTION_SECONDS}s'`;

/**
 * Brings schema `tenancy` to the release's version.
 * @throws PostgreSQL's own error; 55P03 when a lock was not free in time.
 * @returns the version that it has now: the release's, or a later one.
 */
export function updateTenancy(owner: pg.ClientBase, release: Release = thisRelease): Promise<number> {
  return inTransaction(owner, () =>
    joinedTransaction(owner, async (transaction) => {
      await lockForDdl(transaction, 'bootstrap');
      const version = await readTenancyVersion(transaction);
      if (version >= release.tenancyVersion) return version;
      await writeTenancy(transaction, release);
      return release.tenancyVersion;
    }),
  );
}

/** A cell's shared tables, and the attempts that may run during their change. */
export interface SharedTables {
  readonly starterRole: string;
  /** Attempts that take a tenant to another cluster: they do not use the shared tables. */
  readonly relocating: readonly string[];
  /** Lower bound of their version, as far as it is known. */
  readonly schemaVersion?: number;
}

/**
 * Brings the shared tables to the release's version.
 * @throws {TargetMoving} a tenant is being moved to or from them.
 * @throws {HistoryDiverged} or PostgreSQL's own error; 55P03 when a lock was not free in time.
 * @returns the version that they have now.
 */
export async function updateSharedTables(
  owner: pg.ClientBase,
  { starterRole, relocating, schemaVersion }: SharedTables,
  { migrations, tables }: Release = thisRelease,
): Promise<number> {
  const target = sharedTarget(starterRole);
  await buildIndexes(owner, target, tables, schemaVersion);
  return inTransaction(owner, async () => {
    await lockSharedTables(owner);
    // A separate statement, so that it sees the claims that committed while the lock was awaited.
    const { rows } = await owner.query(
      'select from tenancy.placement where mover is not null and mover <> all ($1::uuid[]) limit 1',
      [relocating],
    );
    if (rows.length > 0) throw new TargetMoving();
    return joinedTransaction(owner, (transaction) => migrateTenantTables(transaction, target, migrations));
  });
}

/** A tenant's own schema with its place in the registry. */
export interface PlacedSchema {
  readonly tenantId: string;
  readonly epoch: number;
  readonly schemaName: string;
  readonly roleName: string;
  /** Lower bound of its tables' version, as far as it is known. */
  readonly schemaVersion?: number;
}

interface Placement {
  readonly epoch: string | number;
  readonly state: string;
  readonly schema_name: string;
  readonly role_name: string;
  readonly mover: string | null;
}

/**
 * Brings a tenant's own schema to the release's version, in three round trips, because a cell has many.
 * @throws {TargetMoving} a move of the tenant is running. {TargetMoved} it has another placement.
 * @throws {HistoryDiverged} or PostgreSQL's own error; 55P03 when a lock was not free in time.
 * @returns the version that it has now.
 */
export async function updateTenantSchema(
  owner: pg.ClientBase,
  { tenantId, epoch, schemaName, roleName, schemaVersion }: PlacedSchema,
  { migrations, tables }: Release = thisRelease,
): Promise<number> {
  assertUuid(tenantId);
  const target = isolatedTarget(schemaName, roleName);
  await buildIndexes(owner, target, tables, schemaVersion);
  const history = historyTable(target);
  return rollingBack(owner, async () => {
    const results = (await owner.query(
      `${BEGIN};
       SELECT pg_catalog.pg_try_advisory_xact_lock(tenancy.mover_key(${literal(tenantId)})) AS unclaimed,
              pg_catalog.pg_try_advisory_xact_lock(
                pg_catalog.hashtextextended(${literal(ddlLock(schemaName))}, 0)) AS locked;
       SELECT epoch, state, schema_name, role_name, mover FROM tenancy.placement
         WHERE tenant_id = ${literal(tenantId)};
       SELECT pg_catalog.to_regclass(${literal(history)}) IS NOT NULL AS found`,
    )) as unknown as pg.QueryResult[];
    const [locks, placements, known] = results.slice(-3) as [pg.QueryResult, pg.QueryResult, pg.QueryResult];
    const [place] = placements.rows as Placement[];
    if (!locks.rows[0].unclaimed) {
      // A leaked credential can hold the lock as well. The next try finds it free.
      await owner.query('ROLLBACK');
      await endForeignSessions(owner, tenantId);
      throw new TargetMoving();
    }
    if (place?.mover) throw new TargetMoving();
    const isHere =
      place?.state !== 'moved' && Number(place?.epoch) === epoch && place?.schema_name === schemaName;
    if (!isHere || place?.role_name !== roleName) throw new TargetMoved();
    if (!locks.rows[0].locked) await joinedTransaction(owner, (each) => lockForDdl(each, schemaName));
    const executed = known.rows[0].found
      ? (await owner.query<{ name: string }>(`SELECT name FROM ${history}`)).rows.map(({ name }) => name)
      : undefined;
    await owner.query([...migrationStatements(target, executed, migrations), 'COMMIT'].join(';\n'));
    const ours = migrations.map(({ name }) => name);
    return Math.max(versionAfter(executed ?? []), versionAfter(ours));
  });
}

/** Before the target is locked: a build takes longer for larger tables, and may run during a move. */
async function buildIndexes(
  owner: pg.ClientBase,
  target: MigrationTarget,
  tables: readonly TenantTable[],
  atLeast = 0,
): Promise<void> {
  if (!lacksIndexes(tables, Math.max(atLeast, 1))) return;
  const history = historyTable(target);
  const { rows } = await owner.query('SELECT pg_catalog.to_regclass($1) IS NOT NULL AS found', [history]);
  if (!rows[0].found) return;
  const executed = await owner.query<{ name: string }>(`SELECT name FROM ${history}`);
  await buildNewIndexes(owner, target, tables, versionAfter(executed.rows.map(({ name }) => name)));
}

async function inTransaction<Result>(owner: pg.ClientBase, work: () => Promise<Result>): Promise<Result> {
  return rollingBack(owner, async () => {
    await owner.query(BEGIN);
    const result = await work();
    await owner.query('COMMIT');
    return result;
  });
}

async function rollingBack<Result>(owner: pg.ClientBase, work: () => Promise<Result>): Promise<Result> {
  try {
    return await work();
  } catch (error) {
    // A lost connection has rolled back by itself.
    await owner.query('ROLLBACK').catch(() => {});
    throw error;
  }
}
