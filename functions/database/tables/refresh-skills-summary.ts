/**
 * Refreshes the summary of one target: the shared tables of a database, or a tenant's own schema.
 *
 * One transaction stores the time and the new rows, so readers see both or neither, and a refresh that is killed leaves
 * nothing. It blocks neither readers nor writers (REFRESH … CONCURRENTLY). It holds the lock of DDL on the tables shared:
 * DDL waits there instead of in front of requests, and a refresh does not begin while DDL is under way.
 */
import type pg from 'pg';
import { ddlLock, endLockHolders, OWNER_ROLE } from '../ddl/ddl-connection.ts';
import { qualified } from '../ddl/identifier.ts';
import { SHARED_TABLES_LOCK } from '../provisioning/shared-tables-lock.ts';
import { sqlStateOf } from '../session/sql-state.ts';
import { SHARED_SCHEMA } from './migrate-tenant-tables.ts';
import { refreshTable, SKILLS_SUMMARY } from './skills-summary.ts';

/**
 * `unchanged`: no row has changed since the last refresh, so only its time was moved on. `busy`: DDL on the tables or
 * another refresh is under way. `absent`: the tables are of a version without the summary, or gone.
 */
export type RefreshOutcome = 'refreshed' | 'unchanged' | 'busy' | 'absent';

export interface RefreshOptions {
  /** Recomputes the summary even where nothing seems to have changed. */
  readonly always?: boolean;
  /** Longest time of the refresh, in seconds. */
  readonly seconds?: number;
  /** How long to wait for another refresh, in milliseconds. */
  readonly lockTimeoutMs?: number;
}

/** A rollout waits a little longer for the lock of DDL, try after try. */
const LONGEST_SECONDS = 40;
const LOCK_TIMEOUT_MS = 2_000;
/** Limits how long a function that is frozen inside the transaction can hold the lock of DDL. */
const IDLE_SECONDS = 10;
/**
 * A session reports the rows that it has written after ten idle seconds at the latest
 * (PGSTAT_IDLE_INTERVAL of PostgreSQL).
 */
const REPORTED_AFTER = '15 seconds';
/** Lock timeout, deadlock. */
const BUSY = new Set(['55P03', '40P01']);
/** The schema or a table was dropped since. */
const GONE = new Set(['42P01', '3F000']);

/**
 * @param owner not in a transaction.
 * @param schemaName `shared`, or a tenant's own schema.
 * @throws PostgreSQL's own error: 57014 when the refresh took too long. Nothing was changed.
 */
export async function refreshSkillsSummary(
  owner: pg.ClientBase,
  schemaName: string,
  { always = false, seconds = LONGEST_SECONDS, lockTimeoutMs = LOCK_TIMEOUT_MS }: RefreshOptions = {},
): Promise<RefreshOutcome> {
  try {
    await owner.query(
      `BEGIN; SET LOCAL lock_timeout = '${Math.round(lockTimeoutMs)}ms'; SET LOCAL statement_timeout = '${Math.round(seconds)}s';
       SET LOCAL transaction_timeout = '${Math.round(seconds) + IDLE_SECONDS}s';
       SET LOCAL idle_in_transaction_session_timeout = '${IDLE_SECONDS}s';
       SET LOCAL client_connection_check_interval = '2s'; SET LOCAL max_parallel_workers_per_gather = 0`,
    );
    const outcome = await refresh(owner, schemaName, always);
    await owner.query('COMMIT');
    return outcome;
  } catch (error) {
    await owner.query('ROLLBACK').catch(() => {});
    const code = sqlStateOf(error) ?? '';
    if (BUSY.has(code)) return 'busy';
    if (GONE.has(code)) return 'absent';
    throw error;
  }
}

async function refresh(owner: pg.ClientBase, schemaName: string, always: boolean): Promise<RefreshOutcome> {
  const isShared = schemaName === SHARED_SCHEMA;
  const view = qualified(schemaName, SKILLS_SUMMARY);
  const lock = isShared ? SHARED_TABLES_LOCK : ddlLock(schemaName);
  const { rows: locks } = await owner.query<{ locked: boolean; there: boolean }>(
    `select pg_catalog.pg_try_advisory_xact_lock_shared(pg_catalog.hashtextextended($1, 0)) as locked,
            pg_catalog.to_regclass($2) is not null as there`,
    [lock, view],
  );
  if (!locks[0]?.there) return 'absent';
  if (!locks[0].locked) {
    // Of a leaked credential. The next run finds the lock free.
    await endLockHolders(owner, lock);
    return 'busy';
  }
  const time = refreshTable({ model: isShared ? 'shared' : 'isolated', schema: schemaName });
  const source = await readSource(owner, schemaName);
  const { rows } = await owner.query<{ unchanged: boolean }>(
    `insert into ${time} as r (refreshed_at, source_state)
     select $3::timestamptz, $1
     on conflict (only_row) do update set refreshed_at = excluded.refreshed_at, source_state = excluded.source_state
     returning $2 and $1 = (select before.source_state from ${time} before) as unchanged`,
    [source.state, source.isComplete && !always, source.readAt],
  );
  if (rows[0]?.unchanged) return 'unchanged';
  await owner.query(`REFRESH MATERIALIZED VIEW CONCURRENTLY ${view}`);
  return 'refreshed';
}

/** What the summary is computed from, as far as it is cheap to read. */
interface SourceState {
  /** Before it was read: every row that was committed earlier is in it. */
  readonly readAt: string;
  /** Changes with every row that is written, and with every tenant that comes or leaves. */
  readonly state: string;
  /** Whether the state has all rows that are committed: sessions report what they wrote with a delay. */
  readonly isComplete: boolean;
}

/**
 * Read before the refresh takes its snapshot, so a row that is counted here is in the summary. The counters restart after a
 * crash of the server, and could then by chance be those of the last refresh: hence the daily refresh with `always`.
 */
async function readSource(owner: pg.ClientBase, schemaName: string): Promise<SourceState> {
  const { rows } = await owner.query<SourceState>(
    `select pg_catalog.statement_timestamp()::text as "readAt",
            pg_catalog.concat_ws(' ',
              (select pg_catalog.string_agg(pg_catalog.concat_ws('/', t.oid,
                        pg_catalog.pg_stat_get_tuples_inserted(t.oid), pg_catalog.pg_stat_get_tuples_updated(t.oid),
                        pg_catalog.pg_stat_get_tuples_deleted(t.oid)), ' ' order by t.oid)
               from pg_catalog.pg_class t
               where t.oid in (pg_catalog.to_regclass($2), pg_catalog.to_regclass($3))),
              (select pg_catalog.sum(pg_catalog.hashtextextended(p.tenant_id::text || ' ' || p.epoch, 0))
               from tenancy.placement p where p.schema_name = $1 and p.state <> 'moved')) as state,
            not exists (
              select from pg_catalog.pg_stat_activity a
              where a.datname = pg_catalog.current_database() and a.pid <> pg_catalog.pg_backend_pid()
                and (a.usename = $4
                     or a.usename in (select p.role_name from tenancy.placement p where p.schema_name = $1)
                     -- A stand-in of such a role, while its password is replaced.
                     or exists (select from pg_catalog.pg_auth_members m
                                join pg_catalog.pg_roles r on r.oid = m.roleid
                                join tenancy.placement p on p.role_name = r.rolname and p.schema_name = $1
                                where m.member = a.usesysid and m.inherit_option))
                and (a.state is distinct from 'idle'
                     or a.state_change > pg_catalog.clock_timestamp() - $5::interval)) as "isComplete"`,
    [
      schemaName,
      qualified(schemaName, 'employee_skills'),
      qualified(schemaName, 'skills'),
      OWNER_ROLE,
      REPORTED_AFTER,
    ],
  );
  return rows[0]!;
}
