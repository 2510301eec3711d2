/**
 * A slug belongs to one tenant of all regions: home's registry knows every one. A registration in another region
 * reserves it there, as the row `elsewhere` that stays for as long as the tenant is another region's.
 *
 * States of a slug at home, as region R sees it:
 *   free ──reserve──▶ R's, without a tenant ──R commits──▶ R's tenant
 *   R's, without a tenant ──next registration in R, which uses its id──▶ R's tenant
 *   R's, without a tenant ──take over──▶ another region's, without a tenant (home's too, with the row `elsewhere`)
 * Invariants: a reservation of R is made, used or taken away only under the lock on the slug in R's registry, and made
 * last, right before the tenant commits: one whose tenant is not there under that lock belongs to a registration that
 * died, and blocks nobody.
 */

import type { Tier } from '../contracts/tenant.ts';
import type { DataApi, RegistryExecutor } from '../registry/data-api.ts';
import { now } from '../registry/registry-expressions.ts';
import { registrySql } from '../registry/registry-sql.ts';
import type { TenantStatus } from '../registry/tenant-record.ts';
import { boundTransaction, lockByName } from '../registry/transaction-limits.ts';
import { TenantExists, TenantInputMismatch } from './errors.ts';
import { homeOf, type RegistrationRegion } from './registration-region.ts';

/** Another region has reserved the slug, and it is to be seen whether its tenant ever came. */
export class ReservedElsewhere {
  readonly regionKey: string;
  constructor(regionKey: string) {
    this.regionKey = regionKey;
  }
}

/** Registrations of one slug in one region take turns until their transactions end. */
export async function lockSlug(transaction: RegistryExecutor, slug: string): Promise<void> {
  await lockByName(transaction, `strata slug ${slug}`);
}

/**
 * What a registration in a region other than home finds of its slug at home: an id that a dead registration of the
 * region has left, another region's reservation, or nothing.
 * @throws {TenantExists | TenantInputMismatch} the slug is a tenant's of home.
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
 * Makes the slug the region's at home. Making it again with the same id changes nothing.
 * @throws {TenantExists | TenantInputMismatch} somebody else was faster.
 */
export async function reserveSlug(
  { slug, tenantId, tier }: { slug: string; tenantId: string; tier: Tier },
  region: RegistrationRegion,
): Promise<void> {
  const home = homeRegistry(region);
  await registrySql(home)
    .insertInto('tenants')
    .values({
      // What the row must have and another region's tenant does not tell: its name is its id, its tier's model is any.
      ...{ tenant_id: tenantId, tenant_name: tenantId, tenant_slug: slug, isolation_model: 'shared' },
      ...{ subscription_tier: tier, status: 'elsewhere', data_residency: region.key },
      ...{ compliance_requirements: [], home_region: region.key },
    })
    .onConflict((other) => other.doNothing())
    .execute();
  const holder = await holderOf(home, slug);
  const ours =
    holder?.status === 'elsewhere' && holder.home_region === region.key && holder.tenant_id === tenantId;
  if (!ours) throw refusalBy(holder?.status, slug);
}

/**
 * Gives the slug that another region has reserved to this one, unless that region has a tenant of it.
 * @throws {TenantExists | TenantInputMismatch} it has.
 */
export async function takeOverSlug(slug: string, from: string, region: RegistrationRegion): Promise<void> {
  const fromHome = from === homeOf(region.registries);
  await region.registries.of(from).transaction(async (transaction) => {
    await boundTransaction(transaction);
    await lockSlug(transaction, slug);
    const holder = await holderOf(transaction, slug);
    // `elsewhere` is a tenant that has left, but at home a mere reservation: home itself may have taken one over, and
    // then have refused its own registration.
    const reservation = fromHome && holder?.status === 'elsewhere';
    if (holder && !reservation) throw refusalBy(holder.status, slug);
    // Before the lock is given back: a registration there must not find its region's reservation any more.
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

/** Who has a slug in that registry. */
function holderOf(registry: RegistryExecutor, slug: string) {
  return registrySql(registry)
    .selectFrom('tenants')
    .select(['tenant_id', 'status', 'home_region'])
    .where('tenant_slug', '=', slug)
    .executeTakeFirst();
}

/** An unfinished tenant of another region is one that was asked for with another residency. */
function refusalBy(status: TenantStatus | undefined, slug: string): TenantExists | TenantInputMismatch {
  return status === 'provisioning' || status === 'failed'
    ? new TenantInputMismatch(slug, ['dataResidency'])
    : new TenantExists(slug);
}
