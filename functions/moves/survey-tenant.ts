import type pg from 'pg';
import { identifier } from '../database/ddl/identifier.ts';
import { sqlStateOf } from '../database/session/sql-state.ts';
import { tenantTableOrder } from '../database/tables/tenant-tables.ts';
import { inTransaction } from '../database/transfer/claim.ts';
import { findPlace, type Place } from '../places/place.ts';
import { asOwnerOf } from '../places/place-database.ts';
import type { DataApi } from '../registry/data-api.ts';
import { MoveOvertaken } from './errors.ts';

export interface TableSize {
  readonly name: string;
  readonly rows: number;
  readonly bytes: number;
  /** Rows, and in shared tables bytes, were not counted. */
  readonly estimated?: boolean;
}

/** How much data a tenant has. */
export interface TenantSurvey {
  readonly rows: number;
  readonly bytes: number;
  /** All employees, where counting the active ones took too long. */
  readonly activeEmployees: number;
  readonly tables: readonly TableSize[];
}

/** The operator who waits for a dry run has 30 seconds in all; what is not counted by then is estimated. */
const COUNT_MS = 15_000;
const TRANSACTION_SECONDS = 24;
/** Beyond this a table's rows are what the last ANALYZE estimated: counting them would take too long. */
const COUNTED_BYTES = 512 * 1024 ** 2;

/**
 * Counts rows and bytes of the tenant's tables where it lives now. In shared tables bytes are those of its rows, without
 * indexes; in a schema they are the tables' whole size on disk.
 * @param countMs how long to count; the rest is estimated.
 * @throws the driver's errors; TN001 while the tenant is fenced.
 */
export async function surveyTenant(
  registry: Pick<DataApi, 'query'>,
  tenantId: string,
  countMs: number = COUNT_MS,
): Promise<TenantSurvey> {
  const place = await findPlace(registry, tenantId);
  if (!place) throw new MoveOvertaken();
  const until = performance.now() + countMs;
  const { tables, active } = await asOwnerOf(place, (owner) =>
    inTransaction(owner, 'repeatable read', TRANSACTION_SECONDS, async () => {
      if (place.isolationModel === 'shared')
        await owner.query('SELECT tenancy.enter_move($1, NULL)', [tenantId]);
      const employees = `${identifier(place.schemaName)}.employees`;
      const active = await countInTime(
        owner,
        `select count(*) as rows, 0 as bytes from ${employees} where status = 'active'`,
        until,
      );
      const tables: TableSize[] = [];
      for (const name of tenantTableOrder) tables.push(...(await measure(owner, place, name, until)));
      return { tables, active };
    }),
  );
  const total = (of: 'rows' | 'bytes') => tables.reduce((sum, table) => sum + table[of], 0);
  const employees = tables.find(({ name }) => name === 'employees')?.rows ?? 0;
  return { rows: total('rows'), bytes: total('bytes'), activeEmployees: active?.rows ?? employees, tables };
}

/** Nothing for a table that this place does not have yet. */
async function measure(owner: pg.Client, place: Place, name: string, until: number): Promise<TableSize[]> {
  const table = `${identifier(place.schemaName)}.${identifier(name)}`;
  const { rows: found } = await owner.query<{ bytes: string | number; estimate: number }>(
    `select pg_catalog.pg_total_relation_size(oid) as bytes, greatest(reltuples, 0)::float8 as estimate
     from pg_catalog.pg_class where oid = pg_catalog.to_regclass($1)`,
    [table],
  );
  const [relation] = found;
  if (!relation) return [];
  if (place.isolationModel === 'shared') {
    // The policies let through this tenant's rows only.
    const counted = await countInTime(
      owner,
      `select count(*) as rows, coalesce(sum(pg_catalog.pg_column_size(t.*)), 0) as bytes from ${table} t`,
      until,
    );
    return [{ name, ...(counted ?? (await planned(owner, table))) }];
  }
  const bytes = Number(relation.bytes);
  const estimated = { name, rows: Math.round(relation.estimate), bytes, estimated: true };
  if (bytes > COUNTED_BYTES && relation.estimate > 0) return [estimated];
  const counted = await countInTime(owner, `select count(*) as rows, 0 as bytes from ${table}`, until);
  return [counted ? { name, rows: counted.rows, bytes } : estimated];
}

/** Undefined where it would have taken longer. */
async function countInTime(
  owner: pg.Client,
  statement: string,
  until: number,
): Promise<{ readonly rows: number; readonly bytes: number } | undefined> {
  const leftMs = Math.ceil(until - performance.now());
  if (leftMs <= 0) return undefined;
  await owner.query(`SAVEPOINT counting; SET LOCAL statement_timeout = ${leftMs}`);
  try {
    const { rows } = await owner.query<{ rows: string; bytes: string }>(statement);
    await owner.query('RELEASE SAVEPOINT counting');
    return { rows: Number(rows[0]?.rows), bytes: Number(rows[0]?.bytes) };
  } catch (error) {
    if (sqlStateOf(error) !== '57014') throw error;
    await owner.query('ROLLBACK TO SAVEPOINT counting');
    return undefined;
  }
}

/** What the planner expects of the tenant's rows. */
async function planned(owner: pg.Client, table: string): Promise<Omit<TableSize, 'name'>> {
  const { rows } = await owner.query<{ 'QUERY PLAN': [{ Plan: Record<string, unknown> }] }>(
    `explain (format json) select * from ${table}`,
  );
  const { 'Plan Rows': expected, 'Plan Width': width } = rows[0]!['QUERY PLAN'][0].Plan;
  return { rows: Number(expected), bytes: Number(expected) * Number(width), estimated: true };
}
