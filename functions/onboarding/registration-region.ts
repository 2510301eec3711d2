import type { RegistryExecutor } from '../registry/data-api.ts';
import type { RegionalRegistries } from '../registry/regional-registries.ts';
import { registrySql } from '../registry/registry-sql.ts';
import { InvalidOnboardingInput } from './errors.ts';

/** Where a registration stands among the regions. */
export interface RegistrationRegion {
  /** Of the region whose registry the tenant is written to. */
  readonly key: string;
  readonly registries: RegionalRegistries;
}

/** Home's key: the first region of the configuration. */
export function homeOf(registries: RegionalRegistries): string {
  return registries.keys[0] as string;
}

/**
 * The residency to use: the asked one, or that of the oldest cell, which is the home region's.
 * @throws {InvalidOnboardingInput} when no cell has it; where it is another region's, the message says which.
 */
export async function chooseResidency(
  registry: RegistryExecutor,
  asked: string | undefined,
  region?: RegistrationRegion,
) {
  const row = await registrySql(registry)
    .selectFrom('cells')
    .select('data_residency')
    .$if(asked !== undefined, (cells) => cells.where('data_residency', '=', asked as string))
    .orderBy('created_at')
    .orderBy('cell_id')
    .limit(1)
    .executeTakeFirst();
  if (row) return row.data_residency;
  throw new InvalidOnboardingInput([{ path: 'dataResidency', message: refusalOf(asked, region) }]);
}

function refusalOf(asked: string | undefined, region: RegistrationRegion | undefined): string {
  if (asked === undefined || !region || asked === region.key || !region.registries.keys.includes(asked)) {
    return 'is not a region that is served';
  }
  return `is served by another region: start tenant-onboarding in ${region.registries.awsRegionOf(asked)}`;
}
