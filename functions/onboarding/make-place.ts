/**
 * The phases of onboarding that make the tenant's first place, with the operations of functions/places. Registration
 * has planned the place: for a cell it is the tenant's routing row; for a dedicated database the row is written when
 * the stack is ready. Each phase writes what it made into the row. Requests use the place only after the tenant is
 * active.
 */
import { sql } from 'kysely';
import { DEFAULT_DATABASE_SIZE } from '../contracts/database-size.ts';
import type { DedicatedStackSettings, StackProgress } from '../places/dedicated-stack.ts';
import { findPlace, type Place, planPlace, routeTo } from '../places/place.ts';
import type { CredentialSettings, PlacedTenant } from '../places/place-resources.ts';
import type { RegistryExecutor } from '../registry/data-api.ts';
import { firstEpoch } from '../registry/lost-tenants.ts';
import { columnValue, now } from '../registry/registry-expressions.ts';
import { registrySql } from '../registry/registry-sql.ts';
import { OnboardingIncomplete, TenantNotProvisioning } from './errors.ts';

/** `skipped` when the tenant is already active: nothing is left to do. */
export type PhaseOutcome = 'done' | 'skipped';

/**
 * Runs a phase on the place of a tenant that is still being provisioned. For an active tenant it does nothing: another
 * execution was faster, and the tenant may have moved since.
 * @throws {TenantNotProvisioning} the tenant failed or was removed meanwhile.
 */
async function onPlannedPlace(
  registry: RegistryExecutor,
  tenantId: string,
  work: (place: Place, tenant: PlacedTenant) => Promise<unknown>,
): Promise<PhaseOutcome> {
  const tenant = await registrySql(registry)
    .selectFrom('tenants as t')
    .select(['t.tenant_slug', 't.isolation_model', 't.home_region', 't.status', 't.database_size'])
    .select(firstEpoch.as('epoch'))
    .where('t.tenant_id', '=', tenantId)
    .executeTakeFirst();
  if (tenant?.status === 'active' || tenant?.status === 'suspended') return 'skipped';
  if (tenant?.status !== 'provisioning') throw new TenantNotProvisioning();
  const { isolation_model: isolationModel, home_region: region, tenant_slug: slug, epoch } = tenant;
  const databaseSize = tenant.database_size ?? DEFAULT_DATABASE_SIZE;
  const planned = async () => {
    if (isolationModel !== 'dedicated') throw new OnboardingIncomplete('the tenant has no place yet');
    const location = { isolationModel, cellId: null, region, databaseSize };
    return planPlace(registry, { tenantId, location, epoch, suffix: `${epoch}` });
  };
  await work((await findPlace(registry, tenantId)) ?? (await planned()), { tenantId, slug });
  return 'done';
}

/**
 * The same, after the launch of a dedicated database. @throws {OnboardingIncomplete} the database does not exist yet.
 */
function onPlace(
  registry: RegistryExecutor,
  tenantId: string,
  work: (place: Place) => Promise<unknown>,
): Promise<PhaseOutcome> {
  return onPlannedPlace(registry, tenantId, (place) => {
    if (place.host === null) throw new OnboardingIncomplete('the database does not exist yet');
    return work(place);
  });
}

/** The same, after the secret exists. @throws {OnboardingIncomplete} it does not exist yet. */
function onPlaceWithSecret(
  registry: RegistryExecutor,
  tenantId: string,
  work: (place: Place) => Promise<unknown>,
): Promise<PhaseOutcome> {
  return onPlace(registry, tenantId, (place) => {
    if (place.secretArn === null) throw new OnboardingIncomplete('the credentials do not exist yet');
    return work(place);
  });
}

/**
 * Makes the tenant's key of encrypted fields, advances the stack of its dedicated database, and records the finished one as the tenant's place. Call it in
 * a loop with the result of the last call until that is `ready`.
 * @throws {DedicatedStackFailed} too many creations failed in this execution, or an operator must look at the stack.
 * @throws {DedicatedStackTimeout} it took too long.
 */
export async function launchDedicated(
  registry: RegistryExecutor,
  tenantId: string,
  settings: DedicatedStackSettings,
  previous: StackProgress | undefined,
): Promise<StackProgress> {
  const { launchPlace } = await import('../places/place-resources.ts');
  const { provideFieldKey } = await import('../places/field-key.ts');
  // An active tenant needs no launch any more.
  let progress: StackProgress = {
    ready: true,
    phase: 'ready',
    stackId: previous?.stackId ?? null,
    failures: previous?.failures ?? 0,
    since: previous?.since ?? new Date().toISOString(),
  };
  await onPlannedPlace(registry, tenantId, async (place, tenant) => {
    await provideFieldKey(registry, tenantId);
    const launched = await launchPlace(place, tenant, settings, previous);
    if (launched.found) await recordRoute(registry, tenantId, { ...place, ...launched.found });
    progress = launched.progress;
  });
  return progress;
}

/** Writes the routing row of a launched place while the tenant is being provisioned. */
async function recordRoute(registry: RegistryExecutor, tenantId: string, place: Place): Promise<void> {
  const { epoch, ...route } = routeTo(place);
  const columns = Object.keys(route) as (keyof typeof route)[];
  const names = sql.join(columns.map((name) => sql.id(name)));
  const values = sql.join(
    columns.map((name) => columnValue(`tenant_database_routing.${name}`, route[name] as never)),
  );
  const assignments = sql.join(columns.map((name) => sql`${sql.id(name)} = ${sql.id('excluded', name)}`));
  await sql`
    insert into tenant_database_routing as r (tenant_id, epoch, ${names})
    select tenant_id, ${columnValue('tenant_database_routing.epoch', epoch)}, ${values} from tenants
     where tenant_id = ${columnValue('tenants.tenant_id', tenantId)} and status = 'provisioning'
    on conflict (tenant_id) do update set ${assignments}, updated_at = now() where r.epoch = excluded.epoch`.execute(
    registrySql(registry),
  );
}

/** Prepares the tenant's dedicated database. */
export async function bootstrapDedicated(
  registry: RegistryExecutor,
  tenantId: string,
): Promise<PhaseOutcome> {
  const { bootstrapPlace } = await import('../places/place-database.ts');
  return onPlace(registry, tenantId, async (place) => {
    const { tenancyVersion } = await bootstrapPlace(place, tenantId);
    if (tenancyVersion === undefined) return;
    await registrySql(registry)
      .updateTable('tenant_database_routing')
      .set({ tenancy_version: tenancyVersion })
      .where('tenant_id', '=', tenantId)
      .where('epoch', '=', place.epoch)
      .execute();
  });
}

/** Creates the secret of the tenant's login role. From then on the proxy's desired list contains it. */
export async function provisionCredentials(
  registry: RegistryExecutor,
  tenantId: string,
  settings: CredentialSettings,
): Promise<PhaseOutcome> {
  const { createCredentials } = await import('../places/place-resources.ts');
  return onPlace(registry, tenantId, async (place) => {
    const { secretArn } = await createCredentials(place, tenantId, settings);
    if (secretArn === undefined) return;
    await registrySql(registry)
      .updateTable('tenant_database_routing')
      .set({ secret_arn: secretArn, updated_at: now })
      .where('tenant_id', '=', tenantId)
      .where('epoch', '=', place.epoch)
      .where('secret_arn', 'is distinct from', secretArn)
      .execute();
  });
}

/** Creates the tenant's schema with its tables, and its login role with the secret's password. */
export async function provisionSchema(registry: RegistryExecutor, tenantId: string): Promise<PhaseOutcome> {
  const { createSchema } = await import('../places/place-database.ts');
  return onPlaceWithSecret(registry, tenantId, async (place) => {
    const { schemaVersion } = await createSchema(place, tenantId);
    await registrySql(registry)
      .updateTable('tenant_database_routing')
      .set({ schema_version: schemaVersion })
      .where('tenant_id', '=', tenantId)
      .where('epoch', '=', place.epoch)
      .execute();
  });
}

/** Makes the proxy of the tenant's cell accept the tenant's secret. */
export async function provisionProxy(registry: RegistryExecutor, tenantId: string): Promise<PhaseOutcome> {
  const { registerWithProxy } = await import('../places/place-resources.ts');
  return onPlace(registry, tenantId, (place) => registerWithProxy(registry, place));
}

/** Writes the tenant's placement into the data database, so that its transactions may enter. */
export async function provisionPlacement(
  registry: RegistryExecutor,
  tenantId: string,
): Promise<PhaseOutcome> {
  const { recordPlacement } = await import('../places/place-database.ts');
  return onPlace(registry, tenantId, (place) => recordPlacement(place, tenantId));
}

/**
 * Runs what the tenant's first request will run. @throws {TenantUnreachable} transient, until the proxy accepts the
 * secret.
 */
export async function verifyTenant(registry: RegistryExecutor, tenantId: string): Promise<PhaseOutcome> {
  const { verifyPlace } = await import('../places/place-database.ts');
  return onPlaceWithSecret(registry, tenantId, (place) => verifyPlace(place, { tenantId, access: 'read' }));
}
