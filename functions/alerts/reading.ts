/**
 * Reading on a large scale: how many bytes a tenant's requests were answered with in one of the last hours, against its usual
 * day. Reads leave no entry in the audit log, so this is computed from the sums of the log of requests, which a schedule
 * writes (functions/metering/aggregate-usage.ts).
 */
import { sql } from 'kysely';
import type { RegistryExecutor } from '../registry/data-api.ts';
import type { TimeWithoutZone } from '../registry/registry-column.ts';
import { columnValue, isInUse, rfc3339 } from '../registry/registry-expressions.ts';
import { registrySql } from '../registry/registry-sql.ts';
import { type Finding, ofTenant, sizeText } from './finding.ts';
import type { AlertThresholds } from './thresholds.ts';

/** Days before the hour that make its usual day. */
const DAYS = sql.lit('14 days');
const TOLD_FOR = sql.lit('3 hours');

/** @throws {RegistryError} */
export async function judgeReading(
  registry: RegistryExecutor,
  region: string,
  { access }: AlertThresholds,
): Promise<Finding[]> {
  const { rows } = await sql<{ tenant_id: string; hour: string; bytes: number; usual: number }>`
    select h.tenant_id, ${rfc3339(sql<TimeWithoutZone>`h.hour`)} as hour, h.bytes, u.usual
      from (select distinct on (tenant_id) tenant_id, hour, cast(bytes_out as double precision) as bytes
              from usage_hours
             where region = ${columnValue('usage_hours.region', region)} and hour > now() - interval ${TOLD_FOR}
               and bytes_out >= ${sql.lit(access.bytesAnHour)}
             order by tenant_id, bytes_out desc) as h
      join tenants t on t.tenant_id = h.tenant_id and ${isInUse}
     cross join lateral (
           select count(*) as days, percentile_cont(0.5) within group (order by d.bytes_out) as usual
             from usage_days d
            where d.tenant_id = h.tenant_id and d.requests > 0
              and d.day < cast(h.hour at time zone 'UTC' as date)
              and d.day >= cast(h.hour at time zone 'UTC' - interval ${DAYS} as date)) as u
     where u.days >= ${sql.lit(access.daysOfBaseline)} and h.bytes >= ${sql.lit(access.factor)} * u.usual
     order by h.tenant_id`.execute(registrySql(registry));
  return rows.map(({ tenant_id, hour, bytes, usual }) => ({
    kind: 'access-reading',
    ...ofTenant(tenant_id),
    level: 'raise',
    summary: `A tenant’s requests were answered with ${sizeText(bytes)} within an hour; ${sizeText(usual)} are usual on a day.`,
    details: { hour, bytesOut: bytes, usualOnADay: usual },
  }));
}
