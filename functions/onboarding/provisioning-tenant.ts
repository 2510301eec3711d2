import type { IsolationModel, Tier } from '../contracts/tenant.ts';
import { dedicatedSecretName } from '../placement/tenant-names.ts';
import type { RegistryExecutor } from '../registry/data-api.ts';
import { registrySql } from '../registry/registry-sql.ts';
import { OnboardingIncomplete, TenantNotProvisioning } from './errors.ts';

/** The place that registration planned for a tenant, or that its dedicated stack turned out to be. */
export interface PlannedPlace {
  /** Proxy, for requests. */
  host: string;
  /** Cluster, for DDL. */
  writerHost: string;
  port: number;
  database: string;
  schemaName: string;
  roleName: string;
  /** The login role's secret; null until it is created. */
  secretArn: string | null;
  /** Name or ARN of the secret of the role that owns the database's schemas. */
  ownerSecret: string;
  epoch: number;
  cellId: string | null;
}

export interface ProvisioningTenant {
  tenantId: string;
  slug: string;
  tier: Tier;
  isolationModel: IsolationModel;
  /** null while the dedicated database does not exist. */
  place: PlannedPlace | null;
}

type Row = NonNullable<Awaited<ReturnType<typeof findTenant>>>;

/** What a step did; `skipped` when the tenant is already active, so that nothing is left to do. */
export type StepOutcome = 'done' | 'skipped';

/**
 * Runs one onboarding step on a tenant that is still being provisioned. On an active tenant it does nothing: an
 * execution that shares its work with a faster one must not touch a tenant that may have moved since.
 * @throws {TenantNotProvisioning} the tenant failed or left meanwhile.
 */
export async function onProvisioningTenant(
  registry: RegistryExecutor,
  tenantId: string,
  work: (tenant: ProvisioningTenant) => Promise<void>,
): Promise<StepOutcome> {
  const row = await findTenant(registry, tenantId);
  if (row?.status === 'active' || row?.status === 'suspended') return 'skipped';
  if (row?.status !== 'provisioning') throw new TenantNotProvisioning();
  await work({
    tenantId: row.tenant_id,
    slug: row.tenant_slug,
    tier: row.subscription_tier,
    isolationModel: row.isolation_model,
    place: isPlanned(row) ? toPlace(row) : null,
  });
  return 'done';
}

/** @throws {OnboardingIncomplete} the dedicated database is not there yet. */
export function placeOf(tenant: ProvisioningTenant): PlannedPlace {
  if (!tenant.place) throw new OnboardingIncomplete('the database does not exist yet');
  return tenant.place;
}

/** @throws {OnboardingIncomplete} the credentials are not there yet. */
export function secretOf(place: PlannedPlace): string {
  if (!place.secretArn) throw new OnboardingIncomplete('the credentials do not exist yet');
  return place.secretArn;
}

function findTenant(registry: RegistryExecutor, tenantId: string) {
  return registrySql(registry)
    .selectFrom('tenants as t')
    .leftJoin('tenant_database_routing as r', 'r.tenant_id', 't.tenant_id')
    .leftJoin('cells as c', 'c.cell_id', 'r.cell_id')
    .select(['t.tenant_id', 't.tenant_slug', 't.subscription_tier', 't.isolation_model', 't.status'])
    .select(['r.database_host', 'r.writer_host', 'r.database_port', 'r.database_name', 'r.schema_name'])
    .select(['r.role_name', 'r.secret_arn', 'c.owner_secret_arn', 'r.epoch', 'r.cell_id'])
    .where('t.tenant_id', '=', tenantId)
    .executeTakeFirst();
}

/** What a routing row always has, and a tenant without one never. */
type Planned = 'database_host' | 'writer_host' | 'database_port' | 'database_name' | 'schema_name';
type PlannedRow = Row & { readonly [Name in Planned | 'role_name' | 'epoch']: NonNullable<Row[Name]> };

const isPlanned = (row: Row): row is PlannedRow => row.database_host !== null;

function toPlace(row: PlannedRow): PlannedPlace {
  return {
    host: row.database_host,
    writerHost: row.writer_host,
    port: row.database_port,
    database: row.database_name,
    schemaName: row.schema_name,
    roleName: row.role_name,
    secretArn: row.secret_arn,
    ownerSecret: row.owner_secret_arn ?? dedicatedSecretName(row.tenant_id, 'owner'),
    epoch: row.epoch,
    cellId: row.cell_id,
  };
}
