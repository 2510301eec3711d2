import type { RegistryExecutor } from './data-api.ts';
import type { RegionalRegistries } from './regional-registries.ts';
import { parseJson } from './registry-column.ts';
import { now } from './registry-expressions.ts';
import { registrySql } from './registry-sql.ts';
import type { DedicatedSizes } from './registry-tables.ts';

/** What one region's deployment records in the registries of all regions. */
export interface RegionRecord {
  /** Such as `us`. */
  readonly regionKey: string;
  /** Such as `us-east-1`. */
  readonly awsRegion: string;
  /** Base URL of its data plane, without a slash at the end. */
  readonly apiUrl: string;
  /** Key of secrets that are made there at run time. */
  readonly secretsKeyArn: string;
  /** How a dedicated database is launched there: the template, its service role, and the region's parameters. */
  readonly dedicatedTemplateUrl: string;
  readonly dedicatedRoleArn: string;
  readonly dedicatedParameters: Readonly<Record<string, string>>;
  /** Null for a region whose last deployment knew no sizes of dedicated databases. */
  readonly dedicatedSizes: DedicatedSizes | null;
}

/** Another region's registry could not be read or written. */
export interface RegionUnreached {
  readonly regionKey: string;
  readonly error: unknown;
}

/** Registers the region, or updates its row. @throws {RegistryError} */
export async function registerRegion(registry: RegistryExecutor, record: RegionRecord): Promise<void> {
  const known = {
    aws_region: record.awsRegion,
    api_url: record.apiUrl,
    secrets_key_arn: record.secretsKeyArn,
    dedicated_template_url: record.dedicatedTemplateUrl,
    dedicated_role_arn: record.dedicatedRoleArn,
    dedicated_parameters: record.dedicatedParameters,
    dedicated_sizes: record.dedicatedSizes,
  };
  await registrySql(registry)
    .insertInto('regions')
    .values({ region_key: record.regionKey, ...known })
    .onConflict((row) => row.column('region_key').doUpdateSet({ ...known, updated_at: now }))
    .execute();
}

/** The registry's row of the region; undefined when it was not registered there. @throws {RegistryError} */
export async function findRegion(registry: RegistryExecutor, key: string): Promise<RegionRecord | undefined> {
  const row = await registrySql(registry)
    .selectFrom('regions')
    .select(['region_key', 'aws_region', 'api_url', 'secrets_key_arn', 'dedicated_template_url'])
    .select(['dedicated_role_arn', 'dedicated_parameters', 'dedicated_sizes'])
    .where('region_key', '=', key)
    .executeTakeFirst();
  if (!row) return undefined;
  return {
    regionKey: row.region_key,
    awsRegion: row.aws_region,
    apiUrl: row.api_url,
    secretsKeyArn: row.secrets_key_arn,
    dedicatedTemplateUrl: row.dedicated_template_url,
    dedicatedRoleArn: row.dedicated_role_arn,
    dedicatedParameters: parseJson(row.dedicated_parameters),
    dedicatedSizes: row.dedicated_sizes === null ? null : parseJson(row.dedicated_sizes),
  };
}

/**
 * Registers our own region here and in every other registry, and copies each of the others' own row to here. Every
 * region's deployment does this, so all regions are registered everywhere after the last deployment.
 * @returns the registries that could not be read or written, such as those of regions that are not deployed yet.
 * @throws {RegistryError} our own registry refused.
 */
export async function exchangeRegions(
  registries: RegionalRegistries,
  ownRecord: RegionRecord,
): Promise<RegionUnreached[]> {
  await registerRegion(registries.own, ownRecord);
  const others = registries.keys.filter((key) => key !== registries.ownKey);
  const unreached: RegionUnreached[] = [];
  for (const regionKey of others) {
    let theirs: RegionRecord | undefined;
    try {
      const registry = registries.of(regionKey);
      theirs = await findRegion(registry, regionKey);
      await registerRegion(registry, ownRecord);
    } catch (error) {
      unreached.push({ regionKey, error });
    }
    if (theirs) await registerRegion(registries.own, theirs);
  }
  return unreached;
}
