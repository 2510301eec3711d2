import { sql } from 'kysely';
import type { RegistryExecutor } from '../registry/data-api.ts';
import { presentTenants } from '../registry/present-tenants.ts';
import { asText, jsonValue, now } from '../registry/registry-expressions.ts';
import { registrySql } from '../registry/registry-sql.ts';
import { ALERT_KINDS, type AlertKind } from './alert-kinds.ts';
import type { AlertChanges, UnresolvedAlert } from './plan-changes.ts';

/** Alerts of one statement. */
const CHUNK = 100;
/** Resolved alerts are history for so long. */
const KEPT_DAYS = 180;

/** Alerts of this registry that are open or acknowledged. @throws {RegistryError} */
export async function readUnresolved(registry: RegistryExecutor): Promise<UnresolvedAlert[]> {
  const rows = await registrySql(registry)
    .selectFrom('alerts as a')
    .leftJoin('tenants as t', (join) =>
      join
        .onRef('t.tenant_id', '=', 'a.tenant_id')
        .on('t.status', 'in', ['active', 'suspended', 'offboarding', 'arriving']),
    )
    .leftJoin('tenant_database_routing as r', 'r.tenant_id', 't.tenant_id')
    .select(['a.alert_id', 'a.alert_key', 'a.kind', 'a.tenant_id', 'a.cell_id'])
    .select((eb) => [eb.fn.coalesce('r.cell_id', asText(eb.ref('r.tenant_id'))).as('database_key')])
    .where('a.status', '<>', 'resolved')
    .execute();
  return rows.map((row) => ({
    alertId: row.alert_id,
    key: row.alert_key,
    kind: row.kind as AlertKind,
    tenantId: row.tenant_id,
    cellId: row.cell_id,
    databaseKey: row.database_key,
  }));
}

export interface RecordedChanges {
  readonly opened: number;
  readonly resolved: number;
}

/** Each statement is repeatable; two concurrent runs open one alert of a condition. @throws {RegistryError} */
export async function recordChanges(
  registry: RegistryExecutor,
  region: string,
  { raise, keep, resolve }: AlertChanges,
): Promise<RecordedChanges> {
  let opened = 0;
  for (const chunk of chunksOf(raise)) opened += await raiseAlerts(registry, region, chunk);
  for (const chunk of chunksOf(keep)) await keepAlerts(registry, chunk);
  let resolved = 0;
  for (const chunk of chunksOf(resolve)) resolved += await resolveAlerts(registry, chunk);
  await sql`delete from alerts where status = 'resolved' and resolved_at < now() - ${sql.lit(KEPT_DAYS)} * interval '1 day'`.execute(
    registrySql(registry),
  );
  return { opened, resolved };
}

/** Raises none about a tenant whose erasure has begun since the survey. */
async function raiseAlerts(
  registry: RegistryExecutor,
  region: string,
  findings: AlertChanges['raise'],
): Promise<number> {
  const rows = findings.map(({ key, kind, severity, tenantId, cellId, summary, details }) => ({
    ...{ key, kind, severity, summary, details },
    tenantId: tenantId ?? null,
    cellId: cellId ?? null,
  }));
  // A literal, because it must equal the condition of the unique index.
  const { rows: written } = await sql<{ is_new: boolean }>`
    with found as (
      select f.* from jsonb_to_recordset(${jsonValue(rows)}) as f (key text, kind text, severity text, "tenantId" uuid,
             "cellId" text, summary text, details jsonb)),
    present as materialized (${presentTenants(sql`select o."tenantId" from found as o`)})
    insert into alerts as a (alert_key, kind, severity, region, tenant_id, cell_id, summary, details)
    select f.key, f.kind, f.severity, ${region}, f."tenantId", f."cellId", f.summary, f.details
      from found as f
     where f."tenantId" is null or f."tenantId" in (select p.tenant_id from present as p)
    on conflict (alert_key) where status <> 'resolved' do update set
      severity = excluded.severity, summary = excluded.summary, details = excluded.details, last_seen_at = now()
    returning a.opened_at = now() as is_new`.execute(registrySql(registry));
  return written.filter(({ is_new }) => is_new).length;
}

async function keepAlerts(registry: RegistryExecutor, findings: AlertChanges['keep']): Promise<void> {
  const rows = findings.map(({ key, summary, details }) => ({ key, summary, details }));
  await sql`
    update alerts as a set summary = f.summary, details = f.details, last_seen_at = now()
      from jsonb_to_recordset(${jsonValue(rows)}) as f (key text, summary text, details jsonb)
     where a.alert_key = f.key and a.status <> 'resolved'`.execute(registrySql(registry));
}

async function resolveAlerts(registry: RegistryExecutor, ids: readonly string[]): Promise<number> {
  const rows = await registrySql(registry)
    .updateTable('alerts')
    .set({ status: 'resolved', resolved_at: now })
    .where('alert_id', 'in', ids)
    .where('status', '<>', 'resolved')
    .returning('alert_id')
    .execute();
  return rows.length;
}

function* chunksOf<Item>(items: readonly Item[]): Generator<readonly Item[]> {
  for (let first = 0; first < items.length; first += CHUNK) yield items.slice(first, first + CHUNK);
}

/** What an operator does first; empty for a kind of another release. */
export const adviceFor = (kind: string): string =>
  Object.hasOwn(ALERT_KINDS, kind) ? ALERT_KINDS[kind as AlertKind].advice : '';
