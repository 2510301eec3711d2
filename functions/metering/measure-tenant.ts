/**
 * Measures what one tenant uses of its data database, as the owner, in one read-only snapshot.
 *
 * - shared: through `tenancy.enter_move` and the policies, so no row of another tenant is counted. The bytes are those
 *   of the rows, without indexes and free space, which cannot be assigned to one tenant.
 * - schema, dedicated: the bytes that the tables of its schema occupy, with indexes and TOAST.
 *
 * The placement in the same snapshot decides which of the two applies, because the registry may be behind while a move
 * ends. A fence does not prevent measuring, since nothing is written: the token is taken from the row.
 */
import type pg from 'pg';
import { identifier, qualified } from '../database/ddl/identifier.ts';
import { sqlStateOf } from '../database/session/sql-state.ts';
import { tenantTableOrder } from '../database/tables/tenant-tables.ts';
import { TenantElsewhere } from './errors.ts';

export interface Measurement {
  readonly activeEmployees: number;
  /** Employees of any status. */
  readonly userCount: number;
  /** Assessment results. */
  readonly assessmentCount: number;
  /** null when the sum took too long. */
  readonly storageBytes: number | null;
  /**
   * Rows of the tenant tables written since the schema's statistics began; null for a Starter tenant, because the
   * tables are shared.
   */
  readonly rowOperations: number | null;
  /** Of all tenants in the database. */
  readonly databaseSizeBytes: number;
}

export interface MeasureOptions {
  /** Time limit for the sum of a Starter tenant's rows, in milliseconds. The query reads all of them. */
  readonly sizePatienceMs?: number;
}

interface Placement {
  readonly isolation_model: 'shared' | 'schema' | 'dedicated';
  readonly schema_name: string;
  readonly state: 'active' | 'fenced' | 'moved';
  readonly fence_token: string | null;
}

/** @throws {TenantElsewhere} and the driver's errors. The connection stays usable unless it was lost. */
export async function measureTenant(
  owner: pg.ClientBase,
  tenantId: string,
  { sizePatienceMs = 45_000 }: MeasureOptions = {},
): Promise<Measurement> {
  return inSnapshot(owner, async () => {
    const { rows } = await owner.query<Placement>(
      'select isolation_model, schema_name, state, fence_token from tenancy.placement where tenant_id = $1',
      [tenantId],
    );
    const [placement] = rows;
    if (!placement || placement.state === 'moved') throw new TenantElsewhere();
    if (placement.isolation_model !== 'shared') return measureSchema(owner, placement.schema_name);
    await owner.query('select tenancy.enter_move($1, $2)', [tenantId, placement.fence_token]);
    return {
      ...(await countRows(owner, placement.schema_name)),
      storageBytes: await bytesOfRows(owner, placement.schema_name, sizePatienceMs),
      rowOperations: null,
    };
  });
}

async function measureSchema(owner: pg.ClientBase, schemaName: string): Promise<Measurement> {
  const counts = await countRows(owner, schemaName);
  const { rows } = await owner.query<{ bytes: number; operations: number }>(
    `select (select coalesce(sum(pg_catalog.pg_total_relation_size(c.oid)), 0)::float8
             from pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid = c.relnamespace
             where n.nspname = $1 and c.relkind in ('r', 'm')) as bytes,
            (select coalesce(sum(s.n_tup_ins + s.n_tup_upd + s.n_tup_del), 0)::float8
             from pg_catalog.pg_stat_user_tables s where s.schemaname = $1 and s.relname = any ($2)) as operations`,
    [schemaName, tenantTableOrder],
  );
  return { ...counts, storageBytes: rows[0]?.bytes ?? 0, rowOperations: rows[0]?.operations ?? 0 };
}

async function countRows(
  owner: pg.ClientBase,
  schemaName: string,
): Promise<Pick<Measurement, 'activeEmployees' | 'userCount' | 'assessmentCount' | 'databaseSizeBytes'>> {
  const schema = identifier(schemaName);
  const { rows } = await owner.query(
    `select employees.*, (select count(*)::integer from ${schema}.assessment_results) as "assessmentCount",
            pg_catalog.pg_database_size(pg_catalog.current_database())::float8 as "databaseSizeBytes"
     from (select count(*)::integer as "userCount",
                  (count(*) filter (where status = 'active'))::integer as "activeEmployees"
           from ${schema}.employees) employees`,
  );
  return rows[0];
}

/** Out-of-line values count with their stored, compressed size. */
async function bytesOfRows(
  owner: pg.ClientBase,
  schemaName: string,
  patienceMs: number,
): Promise<number | null> {
  // A database that a rollout of the tables has not reached yet lacks the newest.
  const { rows: present } = await owner.query<{ name: string }>(
    `select c.relname as name from pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid = c.relnamespace
     where n.nspname = $1 and c.relkind in ('r', 'p') and c.relname = any ($2)`,
    [schemaName, tenantTableOrder],
  );
  const sizes = present.map(
    ({ name }) => `select sum(pg_catalog.pg_column_size(t.*)) as bytes from ${qualified(schemaName, name)} t`,
  );
  // Without the sum the counts are still useful. The tenant stays entered, because the savepoint is newer than the
  // cursor of `enter`.
  await owner.query(`SAVEPOINT sizes; SET LOCAL statement_timeout = ${Math.round(patienceMs)}`);
  try {
    const { rows } = await owner.query<{ bytes: number }>(
      `select coalesce(sum(bytes), 0)::float8 as bytes from (${sizes.join(' union all ')}) as sizes`,
    );
    return rows[0]?.bytes ?? 0;
  } catch (error) {
    if (sqlStateOf(error) !== '57014') throw error;
    await owner.query('ROLLBACK TO SAVEPOINT sizes');
    return null;
  }
}

/** Short, because the clean-up of a move waits for transactions that are older than the commit point. */
async function inSnapshot<Result>(owner: pg.ClientBase, work: () => Promise<Result>): Promise<Result> {
  await owner.query(
    `BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; SET LOCAL idle_in_transaction_session_timeout = '5s';
     SET LOCAL statement_timeout = '20s'; SET LOCAL lock_timeout = '2s'; SET LOCAL transaction_timeout = '90s'`,
  );
  try {
    const result = await work();
    await owner.query('COMMIT');
    return result;
  } catch (error) {
    await owner.query('ROLLBACK').catch(() => {});
    throw error;
  }
}
