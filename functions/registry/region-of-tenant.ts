import { TenantBetweenRegions, TenantNotFound } from '../resources/errors.ts';
import { askRegion, askRegions, type Regions } from './ask-region.ts';
import type { RegistryExecutor } from './data-api.ts';
import { registrySql } from './registry-sql.ts';
import { referenceColumn, type TenantStatus } from './tenant-record.ts';

interface Sight {
  readonly status: TenantStatus;
  readonly home_region: string;
}

/**
 * The region whose registry has the tenant of an id or a slug. Asked at home, which knows where every tenant went;
 * with one region nothing is asked, and the tenant need not exist.
 * @throws {TenantNotFound | TenantBetweenRegions | RegionUnavailable}
 */
export async function regionOfTenant(registries: Regions, reference: string): Promise<string> {
  if (registries.keys.length < 2) return registries.ownKey;
  const look = (registry: RegistryExecutor) => sight(registry, reference);
  const asked = new Set<string>();
  let key = registries.ownKey;
  // A tenant may have gone on before home learned of it: each region tells the next.
  while (!asked.has(key)) {
    asked.add(key);
    const seen = await askRegion(registries, key, look);
    // Also a slug that a registration reserved before it died, elsewhere or for home itself.
    if (!seen || (seen.status === 'elsewhere' && seen.home_region === key))
      throw new TenantNotFound(reference);
    if (seen.status === 'arriving') break;
    if (seen.status !== 'elsewhere') return key;
    key = seen.home_region;
  }
  // A move is bringing it, and only the region that it leaves knows it as its own.
  const others = registries.keys.filter((other) => !asked.has(other));
  const sights = await askRegions(registries, others, look);
  const holder = others.find((_, index) => isHeld(sights[index]));
  if (holder === undefined) throw new TenantBetweenRegions('the tenant is between two regions');
  return holder;
}

async function sight(registry: RegistryExecutor, reference: string): Promise<Sight | undefined> {
  return registrySql(registry)
    .selectFrom('tenants')
    .select(['status', 'home_region'])
    .where(referenceColumn(reference), '=', reference)
    .executeTakeFirst();
}

function isHeld(seen: Sight | undefined): boolean {
  return seen !== undefined && seen.status !== 'elsewhere' && seen.status !== 'arriving';
}
