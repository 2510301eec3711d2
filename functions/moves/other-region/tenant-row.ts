import { sql } from 'kysely';
import type { TenantStatus } from '../../contracts/tenant.ts';
import type { Place } from '../../places/place.ts';
import { routeNow } from '../../places/starter-login.ts';
import { requestAccountsOf } from '../../registry/account-requests.ts';
import type { RegistryExecutor } from '../../registry/data-api.ts';
import { type JsonText, parseJson } from '../../registry/registry-column.ts';
import { asText, columnValue, jsonValue, now } from '../../registry/registry-expressions.ts';
import { registrySql } from '../../registry/registry-sql.ts';
import { registryTables } from '../../registry/registry-tables.ts';
import { readFeatures } from '../../registry/tenant-record.ts';

/** A row of `tenants` as JSON, because the registries of two regions may temporarily have different versions. */
export type TenantRow = Readonly<Record<string, unknown>> & { readonly tenant_name: string };

/** All columns that belong to the tenant; `updated_at` belongs to the registry. */
const COLUMNS = Object.keys(registryTables.tenants).filter(
  (name) => name !== 'tenant_id' && name !== 'updated_at',
);

/** Locked until the transaction ends. */
export async function lockTenantRow(
  transaction: RegistryExecutor,
  tenantId: string,
): Promise<TenantRow | undefined> {
  const row = await registrySql(transaction)
    .selectFrom('tenants as t')
    .select((eb) => [
      asText(sql<JsonText<TenantRow>>`to_jsonb(t) - 'features'`).as('tenant'),
      eb('t.features', 'is not', null).as('has_features'),
    ])
    .where('t.tenant_id', '=', tenantId)
    .forUpdate()
    .executeTakeFirst();
  if (!row) return undefined;
  // Read separately, because features of an older version may be larger than a row of the Data API.
  const features = row.has_features ? await readFeatures(transaction, tenantId) : null;
  return { ...parseJson(row.tenant), features };
}

/** Inserts the row, or overwrites the existing one. */
export async function writeTenantRow(transaction: RegistryExecutor, row: TenantRow): Promise<void> {
  const columns = sql.join(COLUMNS.map((name) => sql.id(name)));
  const assignments = sql.join(COLUMNS.map((name) => sql`${sql.id(name)} = ${sql.id('excluded', name)}`));
  await sql`
    insert into tenants (tenant_id, ${columns}, updated_at)
    select tenant_id, ${columns}, now() from jsonb_populate_record(cast(null as tenants), ${jsonValue(row)})
    on conflict (tenant_id) do update set ${assignments}, updated_at = now()`.execute(
    registrySql(transaction),
  );
}

/** The tenant's current or future place in this region; overwrites an existing row. */
export async function writeRoute(
  transaction: RegistryExecutor,
  tenantId: string,
  place: Place,
): Promise<void> {
  const db = registrySql(transaction);
  await db.deleteFrom('tenant_database_routing').where('tenant_id', '=', tenantId).execute();
  await db
    .insertInto('tenant_database_routing')
    .values({ tenant_id: tenantId, ...(await routeNow(transaction, place)) })
    .execute();
}

/**
 * Reduces a tenant's rows to what a registry keeps about tenants of other regions: id, slug and region. Only while the
 * tenant has one of these states. The history of its moves stays.
 */
export async function leaveRegistry(
  transaction: RegistryExecutor,
  tenantId: string,
  regionKey: string,
  from: readonly TenantStatus[],
): Promise<void> {
  const db = registrySql(transaction);
  const changed = await db
    .updateTable('tenants')
    .set((eb) => ({
      status: 'elsewhere',
      tenant_name: asText(eb.ref('tenant_id')),
      status_reason: null,
      admin_email: null,
      billing_email: null,
      subscription_start_date: null,
      subscription_end_date: null,
      legal_hold: null,
      monthly_revenue: null,
      features: null,
      compliance_requirements: columnValue('tenants.compliance_requirements', []),
      schema_name: null,
      database_size: null,
      execution_arn: null,
      data_residency: regionKey,
      home_region: regionKey,
      updated_at: now,
    }))
    .where('tenant_id', '=', tenantId)
    .where('status', 'in', from)
    .returning('tenant_id')
    .executeTakeFirst();
  if (!changed) return;
  await requestAccountsOf(transaction, tenantId, { external: true });
  await db.deleteFrom('tenant_users').where('tenant_id', '=', tenantId).execute();
  await db.deleteFrom('tenant_database_routing').where('tenant_id', '=', tenantId).execute();
  await db.deleteFrom('usage_samples').where('tenant_id', '=', tenantId).execute();
  await db.deleteFrom('usage_hours').where('tenant_id', '=', tenantId).execute();
  await db.deleteFrom('usage_days').where('tenant_id', '=', tenantId).execute();
  await db.deleteFrom('promotion_decisions').where('tenant_id', '=', tenantId).execute();
  await db.deleteFrom('tenant_offers').where('tenant_id', '=', tenantId).execute();
}
