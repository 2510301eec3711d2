import type { RegistryExecutor } from '../registry/data-api.ts';
import { InvalidOnboardingInput } from './errors.ts';
import type { RegistrationRegion } from './registration-region.ts';

/**
 * The residency to use: the asked one, or that of the oldest cell, which is the home region's.
 * @throws {InvalidOnboardingInput} when no cell has it; where it is another region's, the message says which.
 */
export async function chooseResidency(
  registry: RegistryExecutor,
  asked: string | undefined,
  region?: RegistrationRegion,
) {
  const [row] = await registry.query<{ data_residency: string }>(
    `SELECT data_residency FROM cells WHERE :asked::text IS NULL OR data_residency = :asked::text
     ORDER BY created_at, cell_id LIMIT 1`,
    { asked: asked ?? null },
  );
  if (row) return row.data_residency;
  throw new InvalidOnboardingInput([{ path: 'dataResidency', message: refusalOf(asked, region) }]);
}

function refusalOf(asked: string | undefined, region: RegistrationRegion | undefined): string {
  if (asked === undefined || !region || asked === region.key || !region.registries.keys.includes(asked)) {
    return 'is not a region that is served';
  }
  return `is served by another region: start tenant-onboarding in ${region.registries.awsRegionOf(asked)}`;
}
