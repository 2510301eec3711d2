import * as z from 'zod';
import { UnknownRegion } from '../registry/errors.ts';
import type { RegionalRegistries } from '../registry/regional-registries.ts';
import { findRegion } from '../registry/regions.ts';
import type { DedicatedStackSettings } from './dedicated-stack.ts';
import type { CredentialSettings } from './place-resources.ts';

/** For every region: the configuration has one setting. */
const protection = z.object({
  DELETION_PROTECTION: z.enum(['true', 'false']).transform((text) => text === 'true'),
});

const environment = protection
  .extend({
    DEDICATED_TEMPLATE_URL: z.string().min(1),
    DEDICATED_PARAMETERS: z
      .string()
      .transform((json) => JSON.parse(json) as unknown)
      .pipe(z.record(z.string(), z.coerce.string())),
    CLOUDFORMATION_ROLE_ARN: z.string().min(1),
  })
  .transform((variables) => ({
    templateUrl: variables.DEDICATED_TEMPLATE_URL,
    parameters: variables.DEDICATED_PARAMETERS,
    roleArn: variables.CLOUDFORMATION_ROLE_ARN,
    deletionProtection: variables.DELETION_PROTECTION,
  }));

/** How this region launches dedicated databases. @throws {z.ZodError} the function's environment is incomplete. */
export const launchSettings = (): DedicatedStackSettings => environment.parse(process.env);

/**
 * How a region launches dedicated databases: this one as the function's environment says, another one as its deployment has
 * recorded it in its registry.
 * @throws {UnknownRegion} the other region's deployment has not recorded it yet; and the Data API's errors.
 * @throws {z.ZodError} the function's environment is incomplete.
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
    awsRegion: other.awsRegion,
    deletionProtection: protection.parse(process.env).DELETION_PROTECTION,
  };
}

/** Where and with which key a region keeps tenants' secrets. @throws as {@link launchSettingsOf} */
export async function credentialSettingsOf(
  registries: RegionalRegistries,
  regionKey: string,
): Promise<CredentialSettings> {
  if (regionKey === registries.ownKey) return { kmsKeyArn: process.env.SECRETS_KMS_KEY_ARN };
  const { awsRegion, secretsKeyArn } = await recordOf(registries, regionKey);
  return { kmsKeyArn: secretsKeyArn, awsRegion };
}

async function recordOf(registries: RegionalRegistries, regionKey: string) {
  const record = await findRegion(registries.of(regionKey), regionKey);
  if (!record) throw new UnknownRegion(regionKey);
  return record;
}
