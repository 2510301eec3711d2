/**
 * Registration: the first step of onboarding, and what `POST /tenants` does before it starts the workflow.
 *
 * States of a tenant here:  (none) ──register──▶ provisioning ──activate──▶ active
 *                           provisioning ──fail──▶ failed ──register, same input──▶ provisioning
 * Invariants: tenant, its administrator and its planned place appear together or not at all; a tenant that is not
 * `active` serves no request; the execution named by `execution_arn` is the one that may mark it failed.
 */
import { randomUUID } from 'node:crypto';
import { type AuditActor, recordAudit } from '../database/registry/control-audit.ts';
import type { DataApi, RegistryExecutor } from '../database/registry/data-api.ts';
import {
  type TenantRecord,
  type TenantRow,
  tenantColumns,
  tenantSource,
  toTenantRecord,
} from '../database/registry/tenant-record.ts';
import { chooseCell } from '../placement/choose-cell.ts';
import { FIRST_EPOCH, tenantRoleName } from '../placement/tenant-names.ts';
import { tierTerms } from '../placement/tier-terms.ts';
import { chooseResidency } from './choose-residency.ts';
import { TenantExists, TenantInputMismatch, TenantNameTaken } from './errors.ts';
import type { OnboardingInput } from './onboarding-input.ts';

export interface RegisterOptions {
  /** Who asked for it, for the audit log. */
  actor: AuditActor;
  /** The execution that takes the tenant over; absent when an API call registers before any execution runs. */
  executionArn?: string;
}

type ResolvedInput = OnboardingInput & { dataResidency: string };

/**
 * Writes the tenant as `provisioning`, or takes up again a registration that is unfinished or failed.
 * Safe to repeat and to run concurrently.
 * @throws {TenantExists} the slug belongs to a tenant past onboarding.
 * @throws {TenantNameTaken} the name belongs to another slug.
 * @throws {TenantInputMismatch} the slug is unfinished with a different input.
 * @throws {InvalidOnboardingInput} the residency is not served.
 * @throws {NoCellCapacity} no cell has room.
 */
export async function registerTenant(
  registry: DataApi,
  input: OnboardingInput,
  { actor, executionArn }: RegisterOptions,
): Promise<TenantRecord> {
  // Two inputs with one slug or name may meet in the INSERT; the loser sees nothing inserted, and looks again.
  for (;;) {
    const record = await registry.transaction(async (transaction) => {
      await boundTransaction(transaction);
      const dataResidency = await chooseResidency(transaction, input.dataResidency);
      const resolved: ResolvedInput = { ...input, dataResidency };
      const resumed = await resume(transaction, resolved, { actor, executionArn });
      if (resumed) return resumed;
      return insert(transaction, resolved, { actor, executionArn });
    });
    if (record) return record;
  }
}

/** Which fields of the input differ from the tenant's; empty when the input is the one it was registered with. */
export function differingFields(
  tenant: TenantRecord & { adminEmail: string },
  input: Omit<OnboardingInput, 'dataResidency'> & { dataResidency?: string | undefined },
): string[] {
  const set = (values: string[]) => JSON.stringify([...values].sort());
  const differs: Record<string, boolean> = {
    name: tenant.name !== input.name,
    adminEmail: tenant.adminEmail !== input.adminEmail,
    tier: tenant.tier !== input.tier,
    dataResidency: input.dataResidency !== undefined && tenant.dataResidency !== input.dataResidency,
    complianceRequirements: set(tenant.complianceRequirements) !== set(input.complianceRequirements),
    billingEmail: tenant.billingEmail !== input.billingEmail,
  };
  return Object.keys(differs).filter((field) => differs[field]);
}

/** The tenant of that slug with its first administrator, locked until the transaction ends. */
export async function findForUpdate(
  transaction: RegistryExecutor,
  slug: string,
): Promise<(TenantRecord & { adminEmail: string }) | undefined> {
  const [row] = await transaction.query<TenantRow & { admin_email: string }>(
    `SELECT ${tenantColumns}, t.admin_email FROM ${tenantSource} WHERE t.tenant_slug = :slug FOR UPDATE OF t`,
    { slug },
  );
  return row && { ...toTenantRecord(row), adminEmail: row.admin_email };
}

/** A caller that dies inside the transaction must not hold the cells' locks for the Data API's three minutes. */
async function boundTransaction(transaction: RegistryExecutor): Promise<void> {
  await transaction.query(
    `SELECT set_config('idle_in_transaction_session_timeout', '10s', true), set_config('lock_timeout', '15s', true)`,
  );
}

async function resume(
  transaction: RegistryExecutor,
  input: ResolvedInput,
  { actor, executionArn }: { actor: AuditActor; executionArn: string | undefined },
): Promise<TenantRecord | undefined> {
  const tenant = await findForUpdate(transaction, input.slug);
  if (!tenant) return undefined;
  const { adminEmail: _, ...record } = tenant;
  if (tenant.status !== 'provisioning' && tenant.status !== 'failed') {
    // A step of the very execution that activated it, delivered once more.
    const sameExecution = executionArn !== undefined && executionArn === tenant.executionArn;
    if (sameExecution && tenant.status === 'active') return record;
    throw new TenantExists(input.slug);
  }
  const fields = differingFields(tenant, input);
  if (fields.length > 0) throw new TenantInputMismatch(input.slug, fields);
  await transaction.query(
    `UPDATE tenants SET status = 'provisioning', status_reason = NULL, updated_at = now(),
            execution_arn = COALESCE(:executionArn, execution_arn)
     WHERE tenant_id = :tenantId::uuid`,
    { tenantId: tenant.tenantId, executionArn: executionArn ?? null },
  );
  if (tenant.status === 'failed') {
    await recordAudit(transaction, { actor, action: 'tenant.resume', tenantId: tenant.tenantId, data: {} });
  }
  return read(transaction, tenant.tenantId);
}

/** Returns undefined when another transaction holds the slug. */
async function insert(
  transaction: RegistryExecutor,
  input: ResolvedInput,
  { actor, executionArn }: { actor: AuditActor; executionArn: string | undefined },
): Promise<TenantRecord | undefined> {
  const { isolationModel, maxUsers, maxStorageGb } = tierTerms[input.tier];
  // A dedicated database has no cell, but stands in the region of the residency's cells.
  const cell = await chooseCell(transaction, input);
  const tenantId = randomUUID();
  const ownName = tenantRoleName(tenantId, FIRST_EPOCH);
  const schemaName = isolationModel === 'shared' ? 'shared' : ownName;

  const inserted = await transaction.query(
    `INSERT INTO tenants (tenant_id, tenant_name, tenant_slug, isolation_model, schema_name, subscription_tier,
                          status, billing_email, admin_email, max_users, max_storage_gb, data_residency,
                          compliance_requirements, home_region, execution_arn)
     VALUES (:tenantId::uuid, :name, :slug, :isolationModel, :schemaName, :tier, 'provisioning', :billingEmail,
             :adminEmail, :maxUsers::int, :maxStorageGb::int, :dataResidency, :compliance::jsonb, :region,
             :executionArn)
     ON CONFLICT DO NOTHING RETURNING tenant_id`,
    {
      ...{ tenantId, name: input.name, slug: input.slug, isolationModel, schemaName, tier: input.tier },
      ...{ billingEmail: input.billingEmail, adminEmail: input.adminEmail, maxUsers, maxStorageGb },
      ...{ dataResidency: input.dataResidency, compliance: JSON.stringify(input.complianceRequirements) },
      ...{ region: cell.region, executionArn: executionArn ?? null },
    },
  );
  if (inserted.length === 0) {
    const [taken] = await transaction.query<{ tenant_slug: string }>(
      'SELECT tenant_slug FROM tenants WHERE tenant_name = :name',
      { name: input.name },
    );
    if (taken && taken.tenant_slug !== input.slug) throw new TenantNameTaken(input.name);
    return undefined;
  }
  await transaction.query(
    `INSERT INTO tenant_users (tenant_id, email, role) VALUES (:tenantId::uuid, :email, 'admin')
     ON CONFLICT (tenant_id, email) DO NOTHING`,
    { tenantId, email: input.adminEmail },
  );
  if (isolationModel !== 'dedicated') {
    // Where the tenant will be. Nobody is sent there before the tenant is active.
    await transaction.query(
      `INSERT INTO tenant_database_routing (tenant_id, database_type, database_host, database_port, database_name,
                                            schema_name, cell_id, cluster_arn, isolation_model, role_name,
                                            secret_arn, epoch, region, writer_host)
       VALUES (:tenantId::uuid, 'postgresql', :host, :port::int, :database, :schemaName, :cellId, :clusterArn,
               :isolationModel, :roleName, :secretArn, :epoch::bigint, :region, :writerHost)`,
      {
        ...{ tenantId, host: cell.database_host, port: cell.database_port, database: cell.database_name },
        ...{ schemaName, cellId: cell.cell_id, clusterArn: cell.cluster_arn, isolationModel },
        roleName: isolationModel === 'shared' ? cell.starter_role_name : ownName,
        secretArn: isolationModel === 'shared' ? cell.starter_secret_arn : null,
        ...{ epoch: FIRST_EPOCH, region: cell.region, writerHost: cell.writer_host },
      },
    );
  }
  await recordAudit(transaction, {
    ...{ actor, action: 'tenant.register', tenantId },
    data: { slug: input.slug, tier: input.tier, dataResidency: input.dataResidency, cellId: cell.cell_id },
  });
  return read(transaction, tenantId);
}

async function read(transaction: RegistryExecutor, tenantId: string): Promise<TenantRecord> {
  const [row] = await transaction.query<TenantRow>(
    `SELECT ${tenantColumns} FROM ${tenantSource} WHERE t.tenant_id = :tenantId::uuid`,
    { tenantId },
  );
  return toTenantRecord(row!);
}
