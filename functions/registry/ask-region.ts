import { isTransient } from '../database/transient-error.ts';
import { RegionUnavailable } from '../resources/errors.ts';
import type { RegistryExecutor } from './data-api.ts';
import { RegistryError } from './errors.ts';

/** The registries of all regions, as `RegionalRegistries` opens them. */
export interface Regions {
  /** Home's is the first. */
  readonly keys: readonly string[];
  readonly ownKey: string;
  readonly own: RegistryExecutor;
  of(regionKey: string): RegistryExecutor;
}

/** How long another region's registry may take to answer, in ms: API Gateway waits for 30 seconds in all. */
const PATIENCE = 8_000;

/**
 * Reads something from one region's registry.
 * @throws {RegionUnavailable} it is another region's and does not answer; otherwise what `read` throws.
 */
export async function askRegion<Result>(
  registries: Regions,
  regionKey: string,
  read: (registry: RegistryExecutor) => Promise<Result>,
): Promise<Result> {
  if (regionKey === registries.ownKey) return read(registries.own);
  const { promise: late, reject } = Promise.withResolvers<never>();
  const timer = setTimeout(() => reject(new Error('no answer in time')), PATIENCE);
  try {
    return await Promise.race([read(registries.of(regionKey)), late]);
  } catch (cause) {
    // A statement that PostgreSQL refuses is our fault, and the region's answer.
    if (cause instanceof RegistryError && cause.sqlState && !isTransient(cause)) throw cause;
    throw new RegionUnavailable(regionKey, { cause });
  } finally {
    clearTimeout(timer);
  }
}

/** The same of several regions at once, in their order. @throws {RegionUnavailable} one of them does not answer. */
export function askRegions<Result>(
  registries: Regions,
  regionKeys: readonly string[],
  read: (registry: RegistryExecutor) => Promise<Result>,
): Promise<Result[]> {
  return Promise.all(regionKeys.map((key) => askRegion(registries, key, read)));
}

/**
 * Does something in one region that may also change it, and so is not cut short.
 * @throws {RegionUnavailable} it is another region and cannot be reached, or not yet; else what `work` throws.
 */
export async function actInRegion<Result>(
  registries: Pick<Regions, 'ownKey'>,
  regionKey: string,
  work: () => Promise<Result>,
): Promise<Result> {
  try {
    return await work();
  } catch (error) {
    const unreached = isTransient(error) || isRefusedByAws(error);
    if (regionKey === registries.ownKey || !unreached) throw error;
    throw new RegionUnavailable(regionKey, { cause: error });
  }
}

/** A region whose deployment is not complete has no secret to find and no workflow to start. */
function isRefusedByAws(error: unknown): boolean {
  return error instanceof Error && '$fault' in error;
}
