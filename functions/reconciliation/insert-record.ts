/** Writes what a manifest says of a tenant to the registry that lacks it. */
import { sql } from 'kysely';
import type { BackupManifest } from '../backups/manifest.ts';
import type { DatabaseSize } from '../contracts/database-size.ts';
import type { IsolationModel, Tier } from '../contracts/tenant.ts';
import { tierTerms } from '../contracts/tier-terms.ts';
import { requestAccountsOf } from '../registry/account-requests.ts';
import type { RegistryExecutor } from '../registry/data-api.ts';
import { registrySql } from '../registry/registry-sql.ts';
import type { LostPlace } from '../registry/registry-tables.ts';
import { PARTS_AT_ONCE, recordset } from './registered-tenants.ts';

/** What the registry decides of a tenant that a manifest brings back. */
export interface ReturnedTenant {
  readonly tier: Tier;
  readonly isolationModel: IsolationModel;
  /** null until the place is made. */
  readonly schemaName: string | null;
  /** Of a dedicated database. */
  readonly databaseSize?: DatabaseSize | undefined;
  readonly region: string;
  readonly status: LostPlace['status'] | 'failed';
  readonly reason?: string;
  readonly lost?: LostPlace;
}

/** Record and users. @throws {RegistryError} 23505: another tenant has the slug or the name. */
export async function insertRecord(
  transaction: RegistryExecutor,
  { tenant, users }: Pick<BackupManifest, 'tenant' | 'users'>,
  { tier, isolationModel, schemaName, databaseSize, region, status, reason, lost }: ReturnedTenant,
): Promise<void> {
  const terms = tierTerms[tier];
  const has = (field: string) => Object.hasOwn(tenant, field);
  const admin = users.find(({ role }) => role === 'admin') ?? users[0];
  const row = {
    tenant_id: tenant.tenantId,
    tenant_name: tenant.name,
    tenant_slug: tenant.slug,
    isolation_model: isolationModel,
    schema_name: schemaName,
    database_size: databaseSize ?? null,
    subscription_tier: tier,
    status,
    status_reason: reason ?? null,
    lost: lost ?? null,
    admin_email: admin?.email ?? null,
    billing_email: tenant.billingEmail ?? null,
    monthly_revenue: tenant.monthlyRevenue ?? null,
    max_users: has('maxUsers') ? tenant.maxUsers : terms.maxUsers,
    max_storage_gb: has('maxStorageGb') ? tenant.maxStorageGb : terms.maxStorageGb,
    features: tenant.features ?? null,
    data_residency: tenant.dataResidency,
    compliance_requirements: tenant.complianceRequirements ?? [],
    home_region: region,
    // The execution of a tenant that is to be onboarded again is not this one any more.
    execution_arn: lost ? null : (tenant.executionArn ?? null),
    clone_of: tenant.cloneOf ?? null,
    created_at: tenant.createdAt ?? new Date().toISOString(),
    updated_at: new Date().toISOString(),
  };
  await insertRows(transaction, 'tenants', [row]);
  await insertRows(
    transaction,
    'tenant_users',
    users.map((user) => ({
      user_id: user.userId,
      tenant_id: tenant.tenantId,
      email: user.email,
      role: user.role,
      is_active: user.isActive ?? true,
      created_at: user.createdAt ?? row.created_at,
      last_login_at: user.lastLoginAt ?? null,
    })),
  );
  await requestAccountsOf(transaction, tenant.tenantId);
}

type FilledTable = 'tenants' | 'tenant_users' | 'tenant_backups' | 'tenant_backup_parts';

/**
 * Inserts rows that are passed as JSON. They need a value for each column: a missing one becomes NULL, not its default.
 */
export async function insertRows(
  transaction: RegistryExecutor,
  table: FilledTable,
  rows: readonly object[],
): Promise<void> {
  for (let from = 0; from < rows.length; from += PARTS_AT_ONCE) {
    await sql`insert into ${sql.table(table)}
      select * from ${recordset(table, rows.slice(from, from + PARTS_AT_ONCE))}`.execute(
      registrySql(transaction),
    );
  }
}
