import { askRegions, type Regions } from '../registry/ask-region.ts';
import { registrySql } from '../registry/registry-sql.ts';

/**
 * Which of the tenants the registries of other regions have, or are about to have.
 * @returns the key of the region, by the tenant's id.
 * @throws {RegionUnavailable} one of them does not answer.
 */
export async function findInOtherRegions(
  registries: Regions,
  tenantIds: readonly string[],
): Promise<Map<string, string>> {
  const others = registries.keys.filter((key) => key !== registries.ownKey);
  const answers = await askRegions(registries, others, (registry) =>
    registrySql(registry)
      .selectFrom('tenants')
      .select('tenant_id')
      .where('tenant_id', 'in', tenantIds)
      .where('status', '<>', 'elsewhere')
      .execute(),
  );
  return new Map(
    answers.flatMap((rows, index) =>
      rows.map(({ tenant_id: tenantId }): [string, string] => [tenantId, others[index] as string]),
    ),
  );
}
