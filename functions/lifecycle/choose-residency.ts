import type { RegistryExecutor } from '../database/registry/data-api.ts';
import { InvalidOnboardingInput } from './errors.ts';

/**
 * The residency to use: the asked one, or that of the oldest cell, which is the home region's.
 * @throws {InvalidOnboardingInput} when no cell has it.
 */
export async function chooseResidency(registry: RegistryExecutor, asked: string | undefined) {
  const [row] = await registry.query<{ data_residency: string }>(
    `SELECT data_residency FROM cells WHERE :asked::text IS NULL OR data_residency = :asked::text
     ORDER BY created_at, cell_id LIMIT 1`,
    { asked: asked ?? null },
  );
  if (row) return row.data_residency;
  throw new InvalidOnboardingInput([{ path: 'dataResidency', message: 'is not a region that is served' }]);
}
