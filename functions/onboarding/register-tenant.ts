/**
 * Registration: the first phase of onboarding. `POST /tenants` runs it before it starts the workflow.
 *
 * States of a tenant here:  (none) ──register──▶ provisioning ──activate──▶ active
 *                           provisioning ──fail──▶ failed ──register, same input──▶ provisioning
 *
 * Invariants: a tenant, its administrator and its planned place are written together or not at all; a tenant that is
 * not `active` serves no request; only the execution in `execution_arn` may mark it as failed.
 */

import { randomUUID } from 'node:crypto';
import { tierSatisfying, unsatisfied } from '../contracts/compliance.ts';
import { DEFAULT_DATABASE_SIZE } from '../contracts/database-size.ts';
import { tierTerms } from '../contracts/tier-terms.ts';
import { chooseCell } from '../placement/choose-cell.ts';
import { FIRST_EPOCH, tenantRoleName } from '../placement/tenant-names.ts';
import { starterSecretNow } from '../places/starter-login.ts';
import { type AuditActor, recordAudit } from '../registry/audit-log.ts';
import type { RepeatableRequest } from '../registry/control-idempotency.ts';
import type { DataApi, RegistryExecutor } from '../registry/data-api.ts';
import { RegistryError } from '../registry/errors.ts';
import { now } from '../registry/registry-expressions.ts';
import { registrySql } from '../registry/registry-sql.ts';
import { selectTenants, type TenantRecord, toTenantRecord } from '../registry/tenant-record.ts';
import { boundTransaction } from '../registry/transaction-limits.ts';
import {
  CloneSourceLeaving,
  ComplianceUnsatisfied,
  TenantExists,
  TenantInputMismatch,
  TenantNameTaken,
} from './errors.ts';
import type { OnboardingInput } from './onboarding-input.ts';
import { chooseResidency, homeOf, type RegistrationRegion } from './registration-region.ts';
import { findReservation, lockSlug, ReservedElsewhere, reserveSlug, takeOverSlug } from './reserved-slug.ts';

export interface RegisterOptions {
  /** Who requested it, for the audit log. */
  actor: AuditActor;
  /** The execution that takes the tenant over from any other execution. */
  executionArn?: string;
  /** For an API call, which registers before it starts the execution. */
  planned?: PlannedExecution;
  /** For an API call that the client may repeat. */
  once?: RepeatableRequest | undefined;
  /** The region of the registry; set when there are several regions. */
  region?: RegistrationRegion;
  /** The tenant that the new one is a copy of. */
  cloneOf?: string | undefined;
}

/** An execution that is started after the registration. */
export interface PlannedExecution {
  readonly executionArn: string;
  /** A dead execution that the tenant may still name. A tenant that names any other execution stays with that one. */
  readonly replaces: string | undefined;
}

type ResolvedInput = OnboardingInput & { dataResidency: string };

interface Asked {
  readonly actor: AuditActor;
  readonly executionArn: string | undefined;
  readonly planned: PlannedExecution | undefined;
  /** undefined when there is one region only: no other region can have the slug then. */
  readonly region: RegistrationRegion | undefined;
  readonly cloneOf: string | undefined;
}

/**
 * Writes the tenant as `provisioning`, or resumes an unfinished or failed registration. Safe to repeat and to run
 * concurrently.
 * @throws {TenantExists} the slug belongs to a tenant whose onboarding has ended.
 * @throws {TenantNameTaken} the name belongs to another slug.
 * @throws {TenantInputMismatch} the slug is unfinished with a different input.
 * @throws {InvalidOnboardingInput} the residency is not served.
 * @throws {ComplianceUnsatisfied} the tier's place does not satisfy a compliance requirement.
 * @throws {NoCellCapacity} no cell has room.
 * @throws {CloneSourceLeaving} the tenant to be cloned is being offboarded.
 */
export async function registerTenant(
  registry: DataApi,
  input: OnboardingInput,
  { actor, executionArn, planned, once, region: given, cloneOf }: RegisterOptions,
): Promise<TenantRecord> {
  const { tier, complianceRequirements } = input;
  const issues = unsatisfied(complianceRequirements, tierTerms[tier].isolationModel);
  if (issues.length > 0) throw new ComplianceUnsatisfied(issues, tierSatisfying(complianceRequirements));
  const region = given && given.registries.keys.length > 1 ? given : undefined;
  const asked: Asked = { actor, executionArn, planned, region, cloneOf };
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

/** Names of the input's fields that differ from the tenant's; empty when the input is the registered one. */
export function differingFields(
  tenant: TenantRecord & { adminEmail: string },
  input: Omit<OnboardingInput, 'dataResidency'> & { dataResidency?: string | undefined },
): string[] {
  const set = (values: string[]) => JSON.stringify([...values].sort());
  const differs: Record<string, boolean> = {
    name: tenant.name !== input.name,
    // A tenant that comes back from a backup has its users: who becomes its first administrator is settled.
    adminEmail: tenant.restoreFrom === undefined && tenant.adminEmail !== input.adminEmail,
    tier: tenant.tier !== input.tier,
    // The size of a tenant whose database is lost may have changed since its onboarding.
    databaseSize: tenant.restoreFrom === undefined && tenant.databaseSize !== sizeOf(input),
    dataResidency: input.dataResidency !== undefined && tenant.dataResidency !== input.dataResidency,
    complianceRequirements: set(tenant.complianceRequirements) !== set(input.complianceRequirements),
    billingEmail: tenant.billingEmail !== input.billingEmail,
  };
  return Object.keys(differs).filter((field) => differs[field]);
}

/** null for a tier without a database of its own. */
const sizeOf = ({ tier, databaseSize }: Pick<OnboardingInput, 'tier' | 'databaseSize'>) =>
  tierTerms[tier].isolationModel === 'dedicated' ? (databaseSize ?? DEFAULT_DATABASE_SIZE) : null;

/** The tenant of that slug with its first administrator, locked until the transaction ends. */
export async function findForUpdate(
  transaction: RegistryExecutor,
  slug: string,
): Promise<(TenantRecord & { adminEmail: string }) | undefined> {
  const row = await selectTenants(registrySql(transaction))
    .select((eb) => eb.ref('t.admin_email').$notNull().as('admin_email'))
    .where('t.tenant_slug', '=', slug)
    .forUpdate('t')
    .executeTakeFirst();
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
    // Home's row also reserves the slug for the other regions; in another region the row is a tenant that was moved
    // away.
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
  // Last, after every check of the region: a refused registration leaves nothing at home.
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
    // A repeated delivery of the execution that activated the tenant.
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
  const begun = executionArn ?? planned?.executionArn;
  await registrySql(transaction)
    .updateTable('tenants')
    .set({
      status: 'provisioning',
      status_reason: null,
      updated_at: now,
      ...(begun === undefined ? {} : { execution_arn: begun }),
    })
    .where('tenant_id', '=', tenant.tenantId)
    .execute();
  if (tenant.status === 'failed') {
    await recordAudit(transaction, { actor, action: 'tenant.resume', tenantId: tenant.tenantId, data: {} });
  }
  return read(transaction, tenant.tenantId);
}

/** A reservation of the slug whose tenant was never committed. */
interface Reservation {
  readonly tenantId: string;
  /** Its row is in this registry and becomes the tenant's row. */
  readonly here: boolean;
}

/** Returns undefined when another transaction holds the slug. */
async function insert(
  transaction: RegistryExecutor,
  input: ResolvedInput,
  { actor, executionArn, planned, cloneOf }: Asked,
  reserved?: Reservation,
): Promise<TenantRecord | undefined> {
  const { isolationModel, maxUsers, maxStorageGb } = tierTerms[input.tier];
  if (cloneOf !== undefined) await requireStaying(transaction, cloneOf);
  // A dedicated database has no cell, but is in the region of the residency's cells.
  const cell = await chooseCell(transaction, input);
  const tenantId = reserved?.tenantId ?? randomUUID();
  const ownName = tenantRoleName(tenantId, FIRST_EPOCH);
  const schemaName = isolationModel === 'shared' ? 'shared' : ownName;

  const db = registrySql(transaction);
  const row = {
    tenant_name: input.name,
    isolation_model: isolationModel,
    schema_name: schemaName,
    subscription_tier: input.tier,
    status: 'provisioning' as const,
    billing_email: input.billingEmail,
    admin_email: input.adminEmail,
    max_users: maxUsers,
    max_storage_gb: maxStorageGb,
    data_residency: input.dataResidency,
    compliance_requirements: input.complianceRequirements,
    home_region: cell.region,
    execution_arn: executionArn ?? planned?.executionArn ?? null,
    clone_of: cloneOf ?? null,
    database_size: sizeOf(input),
  };
  const inserted = await db
    .insertInto('tenants')
    .values({ tenant_id: tenantId, tenant_slug: input.slug, ...row })
    .onConflict((other) =>
      reserved?.here
        ? // The reservation becomes the tenant.
          other
            .column('tenant_id')
            .doUpdateSet({ ...row, created_at: now, updated_at: now })
            .where('tenants.status', '=', 'elsewhere')
        : other.doNothing(),
    )
    .returning('tenant_id')
    .execute()
    .catch((error) => {
      // Id and slug are the reservation's own, so the conflict is on the name.
      const taken = reserved?.here && error instanceof RegistryError && error.sqlState === '23505';
      throw taken ? new TenantNameTaken(input.name) : error;
    });
  if (inserted.length === 0) {
    const taken = await db
      .selectFrom('tenants')
      .select('tenant_slug')
      .where('tenant_name', '=', input.name)
      .executeTakeFirst();
    if (taken && taken.tenant_slug !== input.slug) throw new TenantNameTaken(input.name);
    return undefined;
  }
  await db
    .insertInto('tenant_users')
    .values({ tenant_id: tenantId, email: input.adminEmail, role: 'admin' })
    .onConflict((other) => other.columns(['tenant_id', 'email']).doNothing())
    .execute();
  if (isolationModel !== 'dedicated') {
    // The place where the tenant will be. Requests use it only after the tenant is active.
    await db
      .insertInto('tenant_database_routing')
      .values({
        tenant_id: tenantId,
        database_type: 'postgresql',
        database_host: cell.database_host,
        database_port: cell.database_port,
        database_name: cell.database_name,
        schema_name: schemaName,
        cell_id: cell.cell_id,
        cluster_arn: cell.cluster_arn,
        isolation_model: isolationModel,
        role_name: isolationModel === 'shared' ? cell.starter_role_name : ownName,
        secret_arn: isolationModel === 'shared' ? await starterSecretNow(transaction, cell.cell_id) : null,
        epoch: FIRST_EPOCH,
        region: cell.region,
        writer_host: cell.writer_host,
        read_replica_host: cell.reader_host,
      })
      .execute();
  }
  await recordAudit(transaction, {
    actor,
    action: 'tenant.register',
    tenantId,
    data: { slug: input.slug, tier: input.tier, dataResidency: input.dataResidency, cellId: cell.cell_id },
  });
  return read(transaction, tenantId);
}

/**
 * Takes the lock under which an offboarding is requested, and its erasure begins: both refuse a tenant that has a clone.
 * @throws {CloneSourceLeaving}
 */
async function requireStaying(transaction: RegistryExecutor, tenantId: string): Promise<void> {
  const source = await registrySql(transaction)
    .selectFrom('tenants')
    .select('status')
    .where('tenant_id', '=', tenantId)
    .forUpdate()
    .executeTakeFirst();
  if (source?.status === 'offboarding' || source?.status === 'offboarded')
    throw new CloneSourceLeaving(source.status);
}

async function read(transaction: RegistryExecutor, tenantId: string): Promise<TenantRecord> {
  const row = await selectTenants(registrySql(transaction))
    .where('t.tenant_id', '=', tenantId)
    .executeTakeFirstOrThrow();
  return toTenantRecord(row);
}
