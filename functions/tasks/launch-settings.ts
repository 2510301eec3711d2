import * as z from 'zod';
import { UnknownRegion } from '../registry/errors.ts';
import type { RegionalRegistries } from '../registry/regional-registries.ts';
import { findRegion } from '../registry/regions.ts';

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

/**
 * How another region launches dedicated databases and keeps secrets: as its deployment has told its registry.
 * @throws {UnknownRegion} the region's deployment has not told it yet; and the Data API's errors.
 */
export async function regionOf(registries: RegionalRegistries, regionKey: string) {
  const record = await findRegion(registries.of(regionKey), regionKey);
  if (!record) throw new UnknownRegion(regionKey);
  const { awsRegion, secretsKeyArn } = record;
  const { dedicatedTemplateUrl: templateUrl, dedicatedRoleArn: roleArn } = record;
  const launch = () => ({
    ...{ templateUrl, roleArn, parameters: record.dedicatedParameters, awsRegion },
    deletionProtection: protection.parse(process.env).DELETION_PROTECTION,
  });
  return { awsRegion, secretsKeyArn, launch };
}

/** How this region launches dedicated databases. @throws {z.ZodError} the function's environment is incomplete. */
export const launchSettings = () => environment.parse(process.env);
