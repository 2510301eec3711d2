/**
 * Registration: the first step of onboarding, and what `POST /tenants` does before it starts the workflow.
 *
 * States of a tenant here:  (none) ──register──▶ provisioning ──activate──▶ active
 *                           provisioning ──fail──▶ failed ──register, same input──▶ provisioning
 * Invariants: tenant, its administrator and its planned place appear together or not at all; a tenant that is not
 * `active` serves no request; the execution named by `execution_arn` is the one that may mark it failed.
 */
import { randomUUID } from 'node:crypto';
import { chooseCell } from '../placement/choose-cell.ts';
import { tierSatisfying, unsatisfied } from '../placement/compliance.ts';
import { FIRST_EPOCH, tenantRoleName } from '../placement/tenant-names.ts';
import { tierTerms } from '../placement/tier-terms.ts';
import { type AuditActor, recordAudit } from '../registry/audit-log.ts';
import type { DataApi, RegistryExecutor } from '../registry/data-api.ts';
import { RegistryError } from '../registry/errors.ts';
import type { RepeatableRequest } from '../registry/repeatable-request.ts';
import {
  type TenantRecord,
  type TenantRow,
  tenantColumns,
  tenantSource,
  toTenantRecord,
} from '../registry/tenant-record.ts';
import { chooseResidency } from './choose-residency.ts';
import { ComplianceUnsatisfied, TenantExists, TenantInputMismatch, TenantNameTaken } from './errors.ts';
import type { OnboardingInput } from './onboarding-input.ts';
import { homeOf, type RegistrationRegion } from './registration-region.ts';
import {
  boundTransaction,
  findReservation,
  lockSlug,
  ReservedElsewhere,
  reserveSlug,
  takeOverSlug,
} from './reserved-slug.ts';

export interface RegisterOptions {
  /** Who asked for it, for the audit log. */
  actor: AuditActor;
  /** The execution that takes the tenant over, whatever other execution worked on it. */
  executionArn?: string;
  /** For an API call, which registers before it starts the execution. */
  planned?: PlannedExecution;
  /** For an API call that its client may send again. */
  once?: RepeatableRequest | undefined;
  /** Whose registry it is, where there are several regions. */
  region?: RegistrationRegion;
}

/** An execution that will be started once the tenant is registered. */
export interface PlannedExecution {
  readonly executionArn: string;
  /** A dead execution that the tenant may still name. A tenant that names any other one keeps it. */
  readonly replaces: string | undefined;
}

type ResolvedInput = OnboardingInput & { dataResidency: string };

interface Asked {
  readonly actor: AuditActor;
  readonly executionArn: string | undefined;
  readonly planned: PlannedExecution | undefined;
  /** Undefined where there is one region only: nobody else could have the slug then. */
  readonly region: RegistrationRegion | undefined;
}

/**
 * Writes the tenant as `provisioning`, or takes up again a registration that is unfinished or failed.
 * Safe to repeat and to run concurrently.
 * @throws {TenantExists} the slug belongs to a tenant past onboarding.
 * @throws {TenantNameTaken} the name belongs to another slug.
 * @throws {TenantInputMismatch} the slug is unfinished with a different input.
 * @throws {InvalidOnboardingInput} the residency is not served.
 * @throws {ComplianceUnsatisfied} the tier's place does not satisfy a compliance requirement.
 * @throws {NoCellCapacity} no cell has room.
 */
export async function registerTenant(
  registry: DataApi,
  input: OnboardingInput,
  { actor, executionArn, planned, once, region: given }: RegisterOptions,
): Promise<TenantRecord> {
  const { tier, complianceRequirements } = input;
  const issues = unsatisfied(complianceRequirements, tierTerms[tier].isolationModel);
  if (issues.length > 0) throw new ComplianceUnsatisfied(issues, tierSatisfying(complianceRequirements));
  const region = given && given.registries.keys.length > 1 ? given : undefined;
  const asked: Asked = { actor, executionArn, planned, region };
  // Two inputs with one slug or name may meet in the INSERT; the loser sees nothing inserted, and looks again.
  for (;;) {
    const outcome = await registry.transaction(async (transaction) => {
      await boundTransaction(transaction);
      if (region || once) await lockSlug(transaction, input.slug);
      const known = await once?.find(transaction);
      if (known) return read(transaction, known);
      const dataResidency = await chooseResidency(transaction, input.dataResidency, region);
      const registered = await register(transaction, { ...input, dataResidency }, asked);
      if (registered && !(registered instanceof ReservedElsewhere)) {
        await once?.keep(transaction, registered.tenantId);
      }
      return registered;
    });
    if (outcome instanceof ReservedElsewhere) {
      await takeOverSlug(input.slug, outcome.regionKey, region as RegistrationRegion);
    } else if (outcome) {
      return outcome;
    }
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

/** Returns undefined when another transaction holds the slug. */
async function register(
  transaction: RegistryExecutor,
  input: ResolvedInput,
  asked: Asked,
): Promise<TenantRecord | ReservedElsewhere | undefined> {
  const { region } = asked;
  const tenant = await findForUpdate(transaction, input.slug);
  const atHome = region === undefined || region.key === homeOf(region.registries);
  if (tenant?.status === 'elsewhere') {
    // Home's row is every other region's reservation as well; in another region it is a tenant that has left.
    if (!region || !atHome) throw new TenantExists(input.slug);
    if (tenant.region !== region.key) return new ReservedElsewhere(tenant.region);
    return insert(transaction, input, asked, { tenantId: tenant.tenantId, here: true });
  }
  if (tenant) return resume(transaction, tenant, input, asked);
  if (atHome) return insert(transaction, input, asked);
  const reserved = await findReservation(input.slug, region);
  if (reserved instanceof ReservedElsewhere) return reserved;
  const reservation = reserved === undefined ? undefined : { tenantId: reserved, here: false };
  const record = await insert(transaction, input, asked, reservation);
  // Last, when nothing of the region stands against the tenant any more: what is refused leaves nothing at home.
  if (record) await reserveSlug(record, region);
  return record;
}

async function resume(
  transaction: RegistryExecutor,
  tenant: TenantRecord & { adminEmail: string },
  input: ResolvedInput,
  { actor, executionArn, planned }: Asked,
): Promise<TenantRecord> {
  const { adminEmail: _, ...record } = tenant;
  if (tenant.status !== 'provisioning' && tenant.status !== 'failed') {
    // A step of the very execution that activated it, delivered once more.
    const sameExecution = executionArn !== undefined && executionArn === tenant.executionArn;
    if (sameExecution && tenant.status === 'active') return record;
    throw new TenantExists(input.slug);
  }
  const fields = differingFields(tenant, input);
  if (fields.length > 0) throw new TenantInputMismatch(input.slug, fields);
  const free =
    tenant.status === 'failed' || tenant.executionArn === null || tenant.executionArn === planned?.replaces;
  // An execution works on it, or is about to be started for it.
  if (planned && !free) return record;
  await transaction.query(
    `UPDATE tenants SET status = 'provisioning', status_reason = NULL, updated_at = now(),
            execution_arn = COALESCE(:executionArn, execution_arn)
     WHERE tenant_id = :tenantId::uuid`,
    { tenantId: tenant.tenantId, executionArn: executionArn ?? planned?.executionArn ?? null },
  );
  if (tenant.status === 'failed') {
    await recordAudit(transaction, { actor, action: 'tenant.resume', tenantId: tenant.tenantId, data: {} });
  }
  return read(transaction, tenant.tenantId);
}

/** A reservation of the slug that no tenant came of. */
interface Reservation {
  readonly tenantId: string;
  /** Its row is in this registry, and becomes the tenant's. */
  readonly here: boolean;
}

const BECOME_THE_TENANT = `(tenant_id) DO UPDATE
  SET tenant_name = excluded.tenant_name, isolation_model = excluded.isolation_model,
      schema_name = excluded.schema_name, subscription_tier = excluded.subscription_tier,
      status = excluded.status, billing_email = excluded.billing_email, admin_email = excluded.admin_email,
      max_users = excluded.max_users, max_storage_gb = excluded.max_storage_gb,
      data_residency = excluded.data_residency, compliance_requirements = excluded.compliance_requirements,
      home_region = excluded.home_region, execution_arn = excluded.execution_arn,
      created_at = now(), updated_at = now()
  WHERE tenants.status = 'elsewhere'`;

/** Returns undefined when another transaction holds the slug. */
async function insert(
  transaction: RegistryExecutor,
  input: ResolvedInput,
  { actor, executionArn, planned }: Asked,
  reserved?: Reservation,
): Promise<TenantRecord | undefined> {
  const { isolationModel, maxUsers, maxStorageGb } = tierTerms[input.tier];
  // A dedicated database has no cell, but stands in the region of the residency's cells.
  const cell = await chooseCell(transaction, input);
  const tenantId = reserved?.tenantId ?? randomUUID();
  const ownName = tenantRoleName(tenantId, FIRST_EPOCH);
  const schemaName = isolationModel === 'shared' ? 'shared' : ownName;

  const inserted = await transaction
    .query(
      `INSERT INTO tenants (tenant_id, tenant_name, tenant_slug, isolation_model, schema_name, subscription_tier,
                            status, billing_email, admin_email, max_users, max_storage_gb, data_residency,
                            compliance_requirements, home_region, execution_arn)
       VALUES (:tenantId::uuid, :name, :slug, :isolationModel, :schemaName, :tier, 'provisioning', :billingEmail,
               :adminEmail, :maxUsers::int, :maxStorageGb::int, :dataResidency, :compliance::jsonb, :region,
               :executionArn)
       ON CONFLICT ${reserved?.here ? BECOME_THE_TENANT : 'DO NOTHING'} RETURNING tenant_id`,
      {
        ...{ tenantId, name: input.name, slug: input.slug, isolationModel, schemaName, tier: input.tier },
        ...{ billingEmail: input.billingEmail, adminEmail: input.adminEmail, maxUsers, maxStorageGb },
        ...{ dataResidency: input.dataResidency, compliance: JSON.stringify(input.complianceRequirements) },
        ...{ region: cell.region, executionArn: executionArn ?? planned?.executionArn ?? null },
      },
    )
    .catch((error) => {
      // Id and slug are the reservation's own, which leaves the name.
      const taken = reserved?.here && error instanceof RegistryError && error.sqlState === '23505';
      throw taken ? new TenantNameTaken(input.name) : error;
    });
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
