/**
 * Measures one data database as its owner, who sees all sessions and statistics (`pg_monitor`). Nothing is judged here,
 * and nothing is written. A part that fails is null, and alerts that read it keep their state.
 */
import type pg from 'pg';
import * as z from 'zod';
import { identifier } from '../database/ddl/identifier.ts';
import { TENANT_LOGIN_GROUP } from '../database/provisioning/data-roles.ts';
import { isConnectionLost } from '../database/session/sql-state.ts';

const figure = z.number();
const orNull = z.nullable;

/** What was measured. Checked by a schema because one function measures and another one judges. */
export const databaseObservation = z.object({
  databaseBytes: figure,
  connections: z.object({
    /** Of all roles. */
    used: figure,
    /** Those that are not reserved for superusers. */
    max: figure,
    /** Login roles of requests that have connections. `limit` null: none of its own. */
    roles: z.array(z.object({ role: z.string(), used: figure, limit: orNull(figure) })),
  }),
  /** Roles of tenants that have one of their own. */
  tenantRoles: z.array(z.object({ role: z.string(), tenantId: z.string(), bytes: orNull(figure) })),
  fences: z.array(z.object({ tenantId: z.string(), expiredSeconds: figure })),
  slots: z.array(
    z.object({
      name: z.string(),
      active: z.boolean(),
      walStatus: orNull(z.string()),
      lagBytes: figure,
      inactiveSeconds: orNull(figure),
    }),
  ),
  maxSlots: figure,
  /** null: the extension `pg_stat_statements` is missing, or is not loaded. */
  statements: orNull(
    z.object({
      /** Time of all statements since the statistics began, in milliseconds. */
      totalMs: figure,
      /** Of request roles, the most expensive ones of each. */
      top: z.array(
        z.object({
          role: z.string(),
          queryId: z.string(),
          /** With placeholders for values; the beginning. */
          text: z.string(),
          calls: figure,
          totalMs: figure,
        }),
      ),
    }),
  ),
});
export type DatabaseObservation = z.infer<typeof databaseObservation>;

/** Statements of one role, and of all roles of a database. */
const TOP_OF_ROLE = 50;
const TOP = 600;
const TEXT = 160;

/** @param onSkipped called for each part that failed. @throws the driver's errors when the connection was lost. */
export async function surveyDatabase(
  owner: pg.ClientBase,
  onSkipped: (part: string, error: unknown) => void,
): Promise<DatabaseObservation> {
  const { rows } = await reading<Totals>(owner, TOTALS);
  const totals = rows[0] as Totals;
  const sizes = await optional('sizes', async () => (await reading<Size>(owner, SIZES)).rows);
  const tenantRoles = (await reading<{ role: string; tenantId: string }>(owner, TENANT_ROLES)).rows;
  return {
    databaseBytes: totals.databaseBytes,
    connections: {
      used: totals.used,
      max: totals.max,
      roles: (await reading<Roles>(owner, ROLES, [TENANT_LOGIN_GROUP])).rows,
    },
    tenantRoles: tenantRoles.map(({ role, tenantId }) => ({
      role,
      tenantId,
      bytes: sizes?.find((size) => size.tenantId === tenantId)?.bytes ?? null,
    })),
    fences: (await reading<Fence>(owner, FENCES)).rows,
    slots: (await reading<Slot>(owner, SLOTS)).rows,
    maxSlots: totals.maxSlots,
    statements: await optional('statements', () => readStatements(owner)),
  };

  async function optional<Result>(part: string, read: () => Promise<Result>): Promise<Result | null> {
    try {
      return await read();
    } catch (error) {
      if (isConnectionLost(error)) throw error;
      onSkipped(part, error);
      return null;
    }
  }
}

type Totals = { databaseBytes: number; used: number; max: number; maxSlots: number };
type Size = { tenantId: string; bytes: number };
type Roles = DatabaseObservation['connections']['roles'][number];
type Fence = DatabaseObservation['fences'][number];
type Slot = DatabaseObservation['slots'][number];
type Statements = NonNullable<DatabaseObservation['statements']>;

/** One statement in a short read-only transaction, because clean-ups wait for old transactions. */
async function reading<Row extends object>(
  owner: pg.ClientBase,
  statement: string,
  values: unknown[] = [],
): Promise<{ rows: Row[] }> {
  await owner.query(
    `BEGIN READ ONLY; SET LOCAL statement_timeout = '20s'; SET LOCAL lock_timeout = '1s';
     SET LOCAL transaction_timeout = '30s'; SET LOCAL idle_in_transaction_session_timeout = '5s'`,
  );
  try {
    const result = await owner.query<Row>(statement, values);
    await owner.query('COMMIT');
    return result;
  } catch (error) {
    await owner.query('ROLLBACK').catch(() => {});
    throw error;
  }
}

const TOTALS = `
select pg_catalog.pg_database_size(pg_catalog.current_database())::float8 as "databaseBytes",
       (select pg_catalog.count(*)::int from pg_catalog.pg_stat_activity where backend_type = 'client backend') as used,
       pg_catalog.current_setting('max_connections')::int
         - pg_catalog.current_setting('superuser_reserved_connections')::int
         - pg_catalog.current_setting('reserved_connections')::int as max,
       pg_catalog.current_setting('max_replication_slots')::int as "maxSlots"`;

const ROLES = `
select r.rolname as role, pg_catalog.count(a.pid)::int as used, nullif(r.rolconnlimit, -1) as "limit"
from pg_catalog.pg_stat_activity a join pg_catalog.pg_roles r on r.oid = a.usesysid
where a.backend_type = 'client backend' and pg_catalog.pg_has_role(r.oid, $1::name, 'MEMBER') and not r.rolsuper
group by r.rolname, r.rolconnlimit`;

const TENANT_ROLES = `
select tenant_id::text as "tenantId", role_name as role from tenancy.placement
where state <> 'moved' and isolation_model <> 'shared'`;

const SIZES = `
select p.tenant_id::text as "tenantId", coalesce(sum(pg_catalog.pg_total_relation_size(c.oid)), 0)::float8 as bytes
from tenancy.placement p join pg_catalog.pg_namespace n on n.nspname = p.schema_name
  left join pg_catalog.pg_class c on c.relnamespace = n.oid and c.relkind in ('r', 'm')
where p.state <> 'moved' and p.isolation_model <> 'shared' group by p.tenant_id`;

const FENCES = `
select tenant_id::text as "tenantId",
       extract(epoch from pg_catalog.clock_timestamp() - fence_expires_at)::float8 as "expiredSeconds"
from tenancy.placement where state = 'fenced' and fence_expires_at < pg_catalog.clock_timestamp()`;

const SLOTS = `
select slot_name as name, active, wal_status as "walStatus",
       coalesce(pg_catalog.pg_wal_lsn_diff(pg_catalog.pg_current_wal_lsn(), restart_lsn), 0)::float8 as "lagBytes",
       extract(epoch from pg_catalog.clock_timestamp() - inactive_since)::float8 as "inactiveSeconds"
from pg_catalog.pg_replication_slots where database = pg_catalog.current_database()`;

/** @returns null when there is no such extension. */
async function readStatements(owner: pg.ClientBase): Promise<Statements | null> {
  const { rows } = await reading<{ schema: string }>(
    owner,
    `select n.nspname as schema from pg_catalog.pg_extension e join pg_catalog.pg_namespace n on n.oid = e.extnamespace
     where e.extname = 'pg_stat_statements'`,
  );
  const [extension] = rows;
  if (!extension) return null;
  const view = `${identifier(extension.schema)}.pg_stat_statements`;
  const own = `s.dbid = (select oid from pg_catalog.pg_database where datname = pg_catalog.current_database())`;
  const found = await reading<{ totalMs: number; top: Statements['top'] }>(
    owner,
    `with own as materialized (
       select s.userid, s.queryid, s.query, s.calls, s.total_exec_time from ${view} s where ${own} and s.toplevel),
     ranked as (
       select r.rolname, o.*, row_number() over (partition by o.userid order by o.total_exec_time desc) as place
       from own o join pg_catalog.pg_roles r on r.oid = o.userid
       where o.queryid is not null and not r.rolsuper and pg_catalog.pg_has_role(r.oid, $1::name, 'MEMBER')
         and o.query ~* '^\\s*(select|insert|update|delete|with|merge)'),
     top as (
       select rolname as role, queryid::text as "queryId", pg_catalog.left(query, ${TEXT}) as text, calls::float8 as calls,
              total_exec_time as "totalMs"
       from ranked where place <= ${TOP_OF_ROLE} order by total_exec_time desc limit ${TOP})
     select coalesce((select sum(total_exec_time) from own), 0)::float8 as "totalMs",
            coalesce((select pg_catalog.jsonb_agg(top) from top), '[]') as top`,
    [TENANT_LOGIN_GROUP],
  );
  return found.rows[0] ?? null;
}
