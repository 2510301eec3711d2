import { setTimeout as delay } from 'node:timers/promises';
import type { TenantStatus } from '../contracts/tenant.ts';
import { ResourceNotFound, TenantBetweenRegions, TenantNotFound } from '../resources/errors.ts';
import { askRegion, askRegions, type Regions } from './ask-region.ts';
import type { RegistryExecutor } from './data-api.ts';
import { registrySql } from './registry-sql.ts';
import { referenceColumn } from './tenant-record.ts';

/** Pauses between two look-ups, in milliseconds: the first, and the longest. */
const FIRST_PAUSE = 20;
const LONGEST_PAUSE = 500;

export interface WhereTenantIsOptions {
  /** True when `work` changes nothing, so that it may be repeated after it has succeeded. */
  readonly isRead: boolean;
  /** How long to follow a tenant during a hand-over, in milliseconds. API Gateway waits for 30 seconds in all. */
  readonly patienceMs?: number;
}

/**
 * Runs `work` in the region whose registry has the tenant. A move may hand the tenant over between the look-up and the
 * work, or between two statements of the work. Then the tenant is looked up again and the work runs in its new region,
 * so that an operator gets a slower answer, but never a refusal and never an empty list from the former registry.
 * @param work must change nothing when it throws {@link TenantBetweenRegions}.
 * @throws {TenantBetweenRegions} the hand-over took too long; otherwise the errors of `regionOfTenant` and `work`.
 */
export async function whereTenantIs<Result>(
  registries: Regions,
  reference: string,
  work: (regionKey: string) => Promise<Result>,
  { isRead, patienceMs = 5_000 }: WhereTenantIsOptions,
): Promise<Result> {
  const deadline = performance.now() + patienceMs;
  for (let longest = FIRST_PAUSE; ; longest = Math.min(longest * 2, LONGEST_PAUSE)) {
    let between: TenantBetweenRegions;
    try {
      const key = await regionOfTenant(registries, reference);
      const outcome = await outcomeOf(() => work(key));
      if (!isRead || (await isStillIn(registries, reference, key))) return outcome();
      between = new TenantBetweenRegions('the tenant was handed over during a read');
    } catch (error) {
      if (!(error instanceof TenantBetweenRegions)) throw error;
      between = error;
    }
    // With jitter, so that the requests that wait for one move do not look it up at the same time.
    const pause = longest * (0.5 + Math.random() / 2);
    if (performance.now() + pause > deadline) throw between;
    await delay(pause);
  }
}

/** A missing resource counts as an outcome, because its rows may have been handed over with the tenant. */
async function outcomeOf<Result>(work: () => Promise<Result>): Promise<() => Result> {
  try {
    const result = await work();
    return () => result;
  } catch (error) {
    if (!(error instanceof ResourceNotFound)) throw error;
    return () => {
      throw error;
    };
  }
}

async function isStillIn(registries: Regions, reference: string, key: string): Promise<boolean> {
  return registries.keys.length < 2 || (await regionOfTenant(registries, reference)) === key;
}

interface Sight {
  readonly status: TenantStatus;
  readonly home_region: string;
}

/**
 * The region whose registry has the tenant of an id or a slug. Home's registry knows the region of every tenant. With
 * one region nothing is looked up, and the tenant need not exist.
 * @throws {TenantNotFound | TenantBetweenRegions | RegionUnavailable}
 */
export async function regionOfTenant(registries: Regions, reference: string): Promise<string> {
  if (registries.keys.length < 2) return registries.ownKey;
  const look = (registry: RegistryExecutor) => sight(registry, reference);
  const asked = new Set<string>();
  let key = registries.ownKey;
  // A tenant may have moved on before home's registry was updated, so each region's registry names the next.
  while (!asked.has(key)) {
    asked.add(key);
    const seen = await askRegion(registries, key, look);
    // Also a slug that a registration reserved before it died, in another region or for home itself.
    if (!seen || (seen.status === 'elsewhere' && seen.home_region === key))
      throw new TenantNotFound(reference);
    if (seen.status === 'arriving') break;
    if (seen.status !== 'elsewhere') return key;
    key = seen.home_region;
  }
  // A move is bringing it, and only the former region's registry has it as its own.
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
