import * as z from 'zod';
import { type LaunchEnvironment, variable } from '../contracts/environments.ts';
import { UnknownRegion } from '../registry/errors.ts';
import type { RegionalRegistries } from '../registry/regional-registries.ts';
import { findRegion } from '../registry/regions.ts';

/** For every region: the configuration has one setting. */
const deletionProtection = () => variable<LaunchEnvironment>('DELETION_PROTECTION') === 'true';

const parametersOf = z.record(z.string(), z.coerce.string());

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
    templateUrl,
    roleArn,
    parameters: record.dedicatedParameters,
    awsRegion,
    deletionProtection: deletionProtection(),
  });
  return { awsRegion, secretsKeyArn, launch };
}

/** How this region launches dedicated databases. @throws {Error} the function's environment is incomplete. */
export const launchSettings = () => ({
  templateUrl: variable<LaunchEnvironment>('DEDICATED_TEMPLATE_URL'),
  parameters: parametersOf.parse(JSON.parse(variable<LaunchEnvironment>('DEDICATED_PARAMETERS'))),
  roleArn: variable<LaunchEnvironment>('CLOUDFORMATION_ROLE_ARN'),
  deletionProtection: deletionProtection(),
});
