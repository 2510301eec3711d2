import * as z from 'zod';
import { DATABASE_SIZES } from '../contracts/database-size.ts';
import { type LaunchEnvironment, type SecretsEnvironment, variable } from '../contracts/environments.ts';
import { UnknownRegion } from '../registry/errors.ts';
import type { RegionalRegistries } from '../registry/regional-registries.ts';
import { findRegion } from '../registry/regions.ts';
import type { DedicatedStackSettings } from './dedicated-stack.ts';
import type { CredentialSettings } from './place-resources.ts';

/** The same for every region: the configuration has one setting. */
const deletionProtection = () => variable<LaunchEnvironment>('DELETION_PROTECTION') === 'true';

const parametersOf = z.record(z.string(), z.coerce.string());
const sizesOf = z.record(z.enum(DATABASE_SIZES), parametersOf);

/** How this region launches dedicated databases. @throws {Error} the function's environment is incomplete. */
export const launchSettings = (): DedicatedStackSettings => ({
  templateUrl: variable<LaunchEnvironment>('DEDICATED_TEMPLATE_URL'),
  parameters: parametersOf.parse(JSON.parse(variable<LaunchEnvironment>('DEDICATED_PARAMETERS'))),
  sizes: sizesOf.parse(JSON.parse(variable<LaunchEnvironment>('DEDICATED_SIZES'))),
  roleArn: variable<LaunchEnvironment>('CLOUDFORMATION_ROLE_ARN'),
  deletionProtection: deletionProtection(),
});

/**
 * How a region launches dedicated databases: for this region from the function's environment, for another one from this
 * region's registry, where the other region's deployment has recorded it.
 * @throws {UnknownRegion} the other region's deployment has not recorded it yet; and the Data API's errors.
 * @throws {Error} the function's environment is incomplete.
 */
export async function launchSettingsOf(
  registries: RegionalRegistries,
  regionKey: string,
): Promise<DedicatedStackSettings> {
  if (regionKey === registries.ownKey) return launchSettings();
  const other = await recordOf(registries, regionKey);
  return {
    templateUrl: other.dedicatedTemplateUrl,
    roleArn: other.dedicatedRoleArn,
    parameters: other.dedicatedParameters,
    sizes: other.dedicatedSizes ?? {},
    awsRegion: other.awsRegion,
    deletionProtection: deletionProtection(),
  };
}

/** Region and key of the tenants' secrets. @throws as {@link launchSettingsOf} */
export async function credentialSettingsOf(
  registries: RegionalRegistries,
  regionKey: string,
): Promise<CredentialSettings> {
  if (regionKey === registries.ownKey)
    return { kmsKeyArn: variable<SecretsEnvironment>('SECRETS_KMS_KEY_ARN') };
  const { awsRegion, secretsKeyArn } = await recordOf(registries, regionKey);
  return { kmsKeyArn: secretsKeyArn, awsRegion };
}

async function recordOf(registries: RegionalRegistries, regionKey: string) {
  const record = await findRegion(registries.of(regionKey), regionKey);
  if (!record) throw new UnknownRegion(regionKey);
  return record;
}
