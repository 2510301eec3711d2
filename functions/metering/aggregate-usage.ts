/**
 * Sums the log of requests up, hour by hour and tenant by tenant, and the hours to days.
 *
 * States of an hour: open (it is going on, or ended less than two hours ago: lines may still arrive) → final.
 * Each run aggregates all hours that are not final, and replaces what an earlier run has made of them, so a run may be
 * repeated, interrupted, or run beside another one. Hours that no run has aggregated are caught up with, oldest first,
 * for as long as the log keeps them.
 */
import { sql } from 'kysely';
import type { RegistryExecutor } from '../registry/data-api.ts';
import { columnValue, jsonValue, rfc3339 } from '../registry/registry-expressions.ts';
import { registrySql } from '../registry/registry-sql.ts';
import { type AskLog, actingUsers, type RequestFigures, requestFigures } from './request-figures.ts';

const HOUR_MS = 3_600_000;
const DAY_MS = 24 * HOUR_MS;
/** Age of an hour, counted from its end, from which on it is final. */
const FINAL_AFTER_MS = 2 * HOUR_MS;
/** How far the first run of a region goes back. */
const FIRST_LOOK_BACK_MS = DAY_MS;
/** Hours are kept for so many days, days for so many. */
const KEPT_DAYS = { hours: 40, days: 800 };
const ROWS_AT_ONCE = 500;

export interface AggregationOptions {
  readonly region: string;
  readonly ask: AskLog;
  /** Milliseconds since the epoch. */
  readonly now: number;
  /** True while there is time for another hour. */
  readonly mayGoOn: () => boolean;
}

export interface AggregationOutcome {
  /** False when time ran out; the next run goes on. */
  readonly done: boolean;
  readonly hours: number;
  /** Rows of tenants and hours that were written. */
  readonly rows: number;
  readonly days: number;
}

/** @throws {RegistryError} and what `ask` throws; hours before it are kept. */
export async function aggregateUsage(
  registry: RegistryExecutor,
  { region, ask, now: present, mayGoOn }: AggregationOptions,
): Promise<AggregationOutcome> {
  const touched = new Set<string>();
  let [hours, rows, done] = [0, 0, true];
  const first = await firstOpenHour(registry, region, present);
  for (let hour = first; hour <= present; hour += HOUR_MS) {
    if (!mayGoOn()) {
      done = false;
      break;
    }
    const figures = await requestFigures(ask, hour, hour + HOUR_MS);
    rows += await recordHour(registry, { region, hour, figures });
    touched.add(dayOf(hour));
    hours += 1;
    if (hour + HOUR_MS + FINAL_AFTER_MS <= present) await markFinal(registry, region, hour + HOUR_MS);
  }
  for (const day of touched) {
    const begin = Date.parse(day);
    await rollUpDay(registry, day, await actingUsers(ask, begin, begin + DAY_MS));
  }
  await forgetOld(registry, present);
  return { done, hours, rows, days: touched.size };
}

const dayOf = (time: number): string => new Date(time).toISOString().slice(0, 10);

async function firstOpenHour(registry: RegistryExecutor, region: string, present: number): Promise<number> {
  const row = await registrySql(registry)
    .selectFrom('usage_aggregations')
    .select((eb) => rfc3339(eb.ref('final_until'), 'MS').as('final_until'))
    .where('region', '=', region)
    .executeTakeFirst();
  const thisHour = present - (present % HOUR_MS);
  // A day all of whose hours are still kept.
  const oldest = thisHour - (KEPT_DAYS.hours - 1) * DAY_MS;
  return row ? Math.max(oldest, Date.parse(row.final_until)) : thisHour - FIRST_LOOK_BACK_MS;
}

/** A tenant that has left the region has its figures where it is now. */
async function recordHour(
  registry: RegistryExecutor,
  { region, hour, figures }: { region: string; hour: number; figures: readonly RequestFigures[] },
): Promise<number> {
  let written = 0;
  for (let at = 0; at < figures.length; at += ROWS_AT_ONCE) {
    const { rows } = await sql<{ tenant_id: string }>`
      insert into usage_hours as h (tenant_id, hour, region, requests, errors, request_ms, database_ms, bytes_in, bytes_out)
      select t.tenant_id, ${columnValue('usage_hours.hour', new Date(hour).toISOString())},
             ${columnValue('usage_hours.region', region)},
             f.requests, f.errors, f."requestMs", f."databaseMs", f."bytesIn", f."bytesOut"
      from jsonb_to_recordset(${jsonValue(figures.slice(at, at + ROWS_AT_ONCE))})
             as f ("tenantId" uuid, requests bigint, errors bigint, "requestMs" bigint, "databaseMs" bigint,
                   "bytesIn" bigint, "bytesOut" bigint)
      join tenants t on t.tenant_id = f."tenantId" and t.status <> 'elsewhere'
      on conflict (tenant_id, hour, region) do update
        set requests = excluded.requests, errors = excluded.errors, request_ms = excluded.request_ms,
            database_ms = excluded.database_ms, bytes_in = excluded.bytes_in, bytes_out = excluded.bytes_out,
            aggregated_at = now()
      returning h.tenant_id`.execute(registrySql(registry));
    written += rows.length;
  }
  return written;
}

async function markFinal(registry: RegistryExecutor, region: string, until: number): Promise<void> {
  await sql`
    insert into usage_aggregations as a (region, final_until)
    values (${columnValue('usage_aggregations.region', region)},
            ${columnValue('usage_aggregations.final_until', new Date(until).toISOString())})
    on conflict (region) do update
      set final_until = greatest(a.final_until, excluded.final_until), updated_at = now()`.execute(
    registrySql(registry),
  );
}

/**
 * Writes the day's row of each tenant that had requests, moved or has backups. A tenant has one row for all regions that
 * served it on that day; its acting users are those of the region with the most.
 */
async function rollUpDay(
  registry: RegistryExecutor,
  day: string,
  acting: readonly { readonly tenantId: string; readonly users: number }[],
): Promise<void> {
  const ownDay = columnValue('usage_days.day', day);
  const begin = sql`(${ownDay}::timestamp at time zone 'UTC')`;
  const end = sql`((${ownDay} + 1)::timestamp at time zone 'UTC')`;
  await sql`
    insert into usage_days as d (tenant_id, day, requests, errors, request_ms, database_ms, bytes_in, bytes_out,
                                 moved_bytes, backed_up_bytes, kept_backup_bytes)
    select t.tenant_id, ${ownDay}, coalesce(h.requests, 0), coalesce(h.errors, 0), coalesce(h.request_ms, 0),
           coalesce(h.database_ms, 0), coalesce(h.bytes_in, 0), coalesce(h.bytes_out, 0),
           coalesce(m.bytes, 0), coalesce(b.taken, 0), coalesce(b.kept, 0)
    from tenants t
    left join (
      select tenant_id, sum(requests)::bigint as requests, sum(errors)::bigint as errors,
             sum(request_ms)::bigint as request_ms, sum(database_ms)::bigint as database_ms,
             sum(bytes_in)::bigint as bytes_in, sum(bytes_out)::bigint as bytes_out
      from usage_hours where hour >= ${begin} and hour < ${end} group by tenant_id
    ) h on h.tenant_id = t.tenant_id
    left join (
      select tenant_id, sum((report ->> 'bytes')::numeric)::bigint as bytes
      from tenant_moves where status = 'succeeded' and finished_at >= ${begin} and finished_at < ${end}
      group by tenant_id
    ) m on m.tenant_id = t.tenant_id
    left join (
      select tenant_id, sum(bytes) filter (where finished_at >= ${begin} and finished_at < ${end})::bigint as taken,
             sum(bytes) filter (where finished_at < ${end} and expires_at > ${begin})::bigint as kept
      from tenant_backups where status = 'succeeded' group by tenant_id
    ) b on b.tenant_id = t.tenant_id
    where t.status <> 'elsewhere'
      and (h.requests is not null or m.bytes is not null or b.taken is not null or b.kept is not null)
    on conflict (tenant_id, day) do update
      set requests = excluded.requests, errors = excluded.errors, request_ms = excluded.request_ms,
          database_ms = excluded.database_ms, bytes_in = excluded.bytes_in, bytes_out = excluded.bytes_out,
          moved_bytes = greatest(d.moved_bytes, excluded.moved_bytes),
          backed_up_bytes = greatest(d.backed_up_bytes, excluded.backed_up_bytes),
          kept_backup_bytes = greatest(d.kept_backup_bytes, excluded.kept_backup_bytes),
          updated_at = now()`.execute(registrySql(registry));
  for (let at = 0; at < acting.length; at += ROWS_AT_ONCE) {
    await sql`
      update usage_days d set acting_users = greatest(d.acting_users, f.users), updated_at = now()
      from jsonb_to_recordset(${jsonValue(acting.slice(at, at + ROWS_AT_ONCE))}) as f ("tenantId" uuid, users integer)
      where d.tenant_id = f."tenantId" and d.day = ${ownDay}`.execute(registrySql(registry));
  }
}

async function forgetOld(registry: RegistryExecutor, present: number): Promise<void> {
  const before = (days: number) => new Date(present - days * DAY_MS).toISOString();
  const db = registrySql(registry);
  await db
    .deleteFrom('usage_hours')
    .where('hour', '<', columnValue('usage_hours.hour', before(KEPT_DAYS.hours)))
    .execute();
  await db
    .deleteFrom('usage_days')
    .where('day', '<', dayOf(present - KEPT_DAYS.days * DAY_MS))
    .execute();
}
