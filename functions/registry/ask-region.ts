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

/** Time limit for another region's registry, in ms: API Gateway waits for 30 seconds in all. */
const PATIENCE = 8_000;

/**
 * Reads from one region's registry.
 * @throws {RegionUnavailable} it is another region's and does not answer; otherwise the errors of `read`.
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
    // A statement that PostgreSQL refuses is a fault in our code; the region did answer.
    if (cause instanceof RegistryError && cause.sqlState && !isTransient(cause)) throw cause;
    throw new RegionUnavailable(regionKey, { cause });
  } finally {
    clearTimeout(timer);
  }
}

/**
 * Reads from several regions concurrently; results are in their order. @throws {RegionUnavailable} one of them does not
 * answer.
 */
export function askRegions<Result>(
  registries: Regions,
  regionKeys: readonly string[],
  read: (registry: RegistryExecutor) => Promise<Result>,
): Promise<Result[]> {
  return Promise.all(regionKeys.map((key) => askRegion(registries, key, read)));
}

/**
 * Looks for a record that stays in the region where it was made: in the region where its tenant is, then in the others.
 * @returns what was found and where; undefined when no region has it.
 * @throws {RegionUnavailable}
 */
export async function findInRegions<Result>(
  registries: Regions,
  region: string,
  read: (registry: RegistryExecutor) => Promise<Result | undefined>,
): Promise<{ readonly found: Result; readonly region: string } | undefined> {
  const own = await askRegion(registries, region, read);
  if (own !== undefined) return { found: own, region };
  const others = registries.keys.filter((key) => key !== region);
  const answers = await askRegions(registries, others, read);
  const index = answers.findIndex((each) => each !== undefined);
  if (index === -1) return undefined;
  return { found: answers[index] as Result, region: others[index] as string };
}

/**
 * Runs `work` in one region without a time limit, because it may change something.
 * @throws {RegionUnavailable} it is another region and cannot be reached, or is not deployed yet; otherwise the errors
 * of `work`.
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

/** A region whose deployment is not complete has no secret to look up and no workflow to start. */
function isRefusedByAws(error: unknown): boolean {
  return error instanceof Error && '$fault' in error;
}
