import { sql } from 'kysely';
import type { DatabaseSize } from '../contracts/database-size.ts';
import type { IsolationModel, Tier } from '../contracts/tenant.ts';
import type { RegistryExecutor } from '../registry/data-api.ts';
import { columnValue, hasData } from '../registry/registry-expressions.ts';
import { registrySql } from '../registry/registry-sql.ts';
import type { Period, TenantFigures } from './bill.ts';

/** An answer of the Data API has a megabyte at most. */
const TENANTS_AT_ONCE = 1_500;

interface Row {
  readonly tenant_id: string;
  readonly tenant_slug: string;
  readonly first_day: string;
  readonly last_day: string;
  readonly subscription_tier: Tier;
  readonly isolation_model: IsolationModel;
  readonly cell_id: string | null;
  readonly database_size: DatabaseSize | null;
  readonly monthly_revenue: number | null;
  readonly requests: number;
  readonly request_ms: number;
  readonly database_ms: number;
  readonly bytes_in: number;
  readonly bytes_out: number;
  readonly moved_bytes: number;
  readonly kept_backup_bytes: number;
  readonly storage_bytes: number;
  readonly users: number;
}

/** The day of a time, in UTC. */
const dayOf = (time: string) => sql`cast(${sql.raw(time)} at time zone 'UTC' as date)`;

/** The cell that an erased tenant was in: its record has counted what there was. */
const erasedFrom = sql`(
  select substr(fact.key, ${sql.lit('database '.length + 1)}) from jsonb_each(o.facts) as fact
   where starts_with(fact.key, 'database ') and fact.key <> 'database dedicated' and fact.value -> 'found' <> '{}'
   order by fact.key limit 1)`;

/**
 * What each tenant of the region has used in the period, by id, of those that existed in it: from the day of its onboarding
 * to that of its erasure. A tenant is charged where it is now, or was when it was erased, also for the days before its last
 * move. Storage and backups are averages over the days that have a figure.
 * @throws {RegistryError}
 */
export async function periodFigures(
  registry: RegistryExecutor,
  { from, to }: Period,
): Promise<TenantFigures[]> {
  const found: TenantFigures[] = [];
  const [first, last] = [columnValue('usage_days.day', from), columnValue('usage_days.day', to)];
  for (;;) {
    const after = columnValue(
      'tenants.tenant_id',
      found.at(-1)?.tenantId ?? '00000000-0000-0000-0000-000000000000',
    );
    const { rows } = await sql<Row>`
      select t.tenant_id, t.tenant_slug, t.subscription_tier,
             coalesce(r.isolation_model, t.isolation_model) as isolation_model,
             coalesce(r.cell_id, ${erasedFrom}) as cell_id, t.database_size,
             cast(e.first_day as text) as first_day, cast(e.last_day as text) as last_day,
             cast(t.monthly_revenue as double precision) as monthly_revenue,
             coalesce(d.requests, 0) as requests, coalesce(d.request_ms, 0) as request_ms,
             coalesce(d.database_ms, 0) as database_ms, coalesce(d.bytes_in, 0) as bytes_in,
             coalesce(d.bytes_out, 0) as bytes_out, coalesce(d.moved_bytes, 0) as moved_bytes,
             coalesce(d.kept_backup_bytes, 0) as kept_backup_bytes, coalesce(s.storage_bytes, 0) as storage_bytes,
             coalesce(s.users, 0) as users
      from tenants t
      left join tenant_database_routing r on r.tenant_id = t.tenant_id
      left join tenant_offboardings o
             on o.tenant_id = t.tenant_id and o.erasing_since is not null and t.status = 'offboarded'
      cross join lateral (
        select greatest(${dayOf('t.created_at')}, ${first}) as first_day,
               least(${dayOf('o.erasing_since')}, ${last}) as last_day
      ) e
      left join (
        select tenant_id, cast(sum(requests) as bigint) as requests, cast(sum(request_ms) as bigint) as request_ms,
               cast(sum(database_ms) as bigint) as database_ms, cast(sum(bytes_in) as bigint) as bytes_in,
               cast(sum(bytes_out) as bigint) as bytes_out, cast(sum(moved_bytes) as bigint) as moved_bytes,
               cast(avg(kept_backup_bytes) as bigint) as kept_backup_bytes
        from usage_days where day between ${first} and ${last} group by tenant_id
      ) d on d.tenant_id = t.tenant_id
      left join (
        select tenant_id, max(active_users) as users,
               cast(avg(coalesce(table_bytes + index_bytes + toast_bytes, storage_bytes)) as bigint) as storage_bytes
        from usage_samples where sampled_on between ${first} and ${last} group by tenant_id
      ) s on s.tenant_id = t.tenant_id
      where ((${hasData} and r.tenant_id is not null) or o.tenant_id is not null)
        and e.first_day <= e.last_day and t.tenant_id > ${after}
      order by t.tenant_id limit ${sql.lit(TENANTS_AT_ONCE)}`.execute(registrySql(registry));
    found.push(...rows.map(toFigures));
    if (rows.length < TENANTS_AT_ONCE) return found;
  }
}

function toFigures(row: Row): TenantFigures {
  return {
    tenantId: row.tenant_id,
    slug: row.tenant_slug,
    existed: { from: row.first_day, to: row.last_day },
    tier: row.subscription_tier,
    isolationModel: row.isolation_model,
    cellId: row.cell_id,
    databaseSize: row.database_size,
    requests: row.requests,
    requestMs: row.request_ms,
    databaseMs: row.database_ms,
    bytesIn: row.bytes_in,
    bytesOut: row.bytes_out,
    movedBytes: row.moved_bytes,
    keptBackupBytes: row.kept_backup_bytes,
    storageBytes: row.storage_bytes,
    users: row.users,
    monthlyRevenue: row.monthly_revenue,
  };
}
