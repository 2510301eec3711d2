/**
 * Unique slugs across regions. Home's registry has every slug. A registration in another region reserves its slug at
 * home, as a row with status `elsewhere`, which stays while the tenant lives in another region.
 *
 * States of a slug at home, for a region R:
 *   free ──reserve──▶ reserved by R, without a tenant ──R commits──▶ tenant of R
 *   reserved by R, without a tenant ──next registration in R, which uses its id──▶ reserved by R, without a tenant
 *   reserved by R, without a tenant ──take over──▶ reserved by another region (home too, with the row `elsewhere`)
 *
 * Invariants: a reservation of R is made, used or taken over only under the lock on the slug in R's registry, and it is
 * made last, right before the tenant commits. So a reservation without a tenant under that lock belongs to a
 * registration that died, and blocks no other.
 */

import type { TenantStatus, Tier } from '../contracts/tenant.ts';
import type { DataApi, RegistryExecutor } from '../registry/data-api.ts';
import { now } from '../registry/registry-expressions.ts';
import { registrySql } from '../registry/registry-sql.ts';
import { boundTransaction, lockByName } from '../registry/transaction-limits.ts';
import { TenantExists, TenantInputMismatch } from './errors.ts';
import { homeOf, type RegistrationRegion } from './registration-region.ts';

/** Another region has reserved the slug; the caller must check whether its tenant was committed. */
export class ReservedElsewhere {
  readonly regionKey: string;
  constructor(regionKey: string) {
    this.regionKey = regionKey;
  }
}

/** Serializes the registrations of one slug in one region until their transactions end. */
export async function lockSlug(transaction: RegistryExecutor, slug: string): Promise<void> {
  await lockByName(transaction, `strata slug ${slug}`);
}

/**
 * Reads the slug at home for a registration in another region: an id that a dead registration of the region has left,
 * another region's reservation, or nothing.
 * @throws {TenantExists | TenantInputMismatch} the slug belongs to a tenant of home.
 */
export async function findReservation(
  slug: string,
  region: RegistrationRegion,
): Promise<string | ReservedElsewhere | undefined> {
  const holder = await holderOf(homeRegistry(region), slug);
  if (!holder) return undefined;
  if (holder.status !== 'elsewhere') throw refusalBy(holder.status, slug);
  return holder.home_region === region.key ? holder.tenant_id : new ReservedElsewhere(holder.home_region);
}

/**
 * Reserves the slug at home for the region. Repeating it with the same id changes nothing.
 * @throws {TenantExists | TenantInputMismatch} another registration was faster.
 */
export async function reserveSlug(
  { slug, tenantId, tier }: { slug: string; tenantId: string; tier: Tier },
  region: RegistrationRegion,
): Promise<void> {
  const home = homeRegistry(region);
  await registrySql(home)
    .insertInto('tenants')
    .values({
      // Required columns that have no value for another region's tenant: the name is the id, the tier's model is
      // arbitrary.
      tenant_id: tenantId,
      tenant_name: tenantId,
      tenant_slug: slug,
      isolation_model: 'shared',
      subscription_tier: tier,
      status: 'elsewhere',
      data_residency: region.key,
      compliance_requirements: [],
      home_region: region.key,
    })
    .onConflict((other) => other.doNothing())
    .execute();
  const holder = await holderOf(home, slug);
  const ours =
    holder?.status === 'elsewhere' && holder.home_region === region.key && holder.tenant_id === tenantId;
  if (!ours) throw refusalBy(holder?.status, slug);
}

/**
 * Takes over a slug that another region has reserved, unless that region has a tenant with the slug.
 * @throws {TenantExists | TenantInputMismatch} that region has one.
 */
export async function takeOverSlug(slug: string, from: string, region: RegistrationRegion): Promise<void> {
  const fromHome = from === homeOf(region.registries);
  await region.registries.of(from).transaction(async (transaction) => {
    await boundTransaction(transaction);
    await lockSlug(transaction, slug);
    const holder = await holderOf(transaction, slug);
    // `elsewhere` is a tenant that was moved away. At home it may also be a reservation: home may have taken one over
    // and then refused its own registration.
    const reservation = fromHome && holder?.status === 'elsewhere';
    if (holder && !reservation) throw refusalBy(holder.status, slug);
    // Before the lock is released, so that a registration there no longer finds its region's reservation.
    await registrySql(homeRegistry(region))
      .updateTable('tenants')
      .set({ home_region: region.key, data_residency: region.key, updated_at: now })
      .where('tenant_slug', '=', slug)
      .where('status', '=', 'elsewhere')
      .where('home_region', '=', from)
      .execute();
  });
}

function homeRegistry({ registries }: RegistrationRegion): DataApi {
  return registries.of(homeOf(registries));
}

/** The owner of a slug in that registry. */
function holderOf(registry: RegistryExecutor, slug: string) {
  return registrySql(registry)
    .selectFrom('tenants')
    .select(['tenant_id', 'status', 'home_region'])
    .where('tenant_slug', '=', slug)
    .executeTakeFirst();
}

/** An unfinished tenant of another region was requested with another residency. */
function refusalBy(status: TenantStatus | undefined, slug: string): TenantExists | TenantInputMismatch {
  return status === 'provisioning' || status === 'failed'
    ? new TenantInputMismatch(slug, ['dataResidency'])
    : new TenantExists(slug);
}
