import * as z from 'zod';
import { startExecution } from '../aws/executions.ts';
import { logger } from '../aws/logger.ts';
import { DATABASE_SIZES } from '../contracts/database-size.ts';
import { type RegionEnvironment, variable } from '../contracts/environments.ts';
import { thisRelease } from '../database/provisioning/release.ts';
import { registryFromEnvironment } from '../registry/data-api.ts';
import { RegionalRegistries } from '../registry/regional-registries.ts';
import { exchangeRegions } from '../registry/regions.ts';
import { somethingLags } from '../rollouts/rollout-targets.ts';
import { customResourceHandler, customResourceHandlers } from './custom-resource.ts';

const text = z.string().min(1);

/** `Custom::StrataRollout`: starts a schema rollout when a target lags behind this code, without waiting for it. */
const rollout = customResourceHandler({
  properties: z.object({ StateMachineArn: text }),
  physicalId: () => 'rollout',
  async apply({ StateMachineArn }) {
    const region = variable<RegionEnvironment>('REGION_KEY');
    if (!(await somethingLags(registryFromEnvironment(), region, thisRelease))) return undefined;
    const name = `deployment-${Date.now().toString(36)}`;
    await startExecution(StateMachineArn, name, { startedBy: 'deployment' });
    logger.info('a schema rollout was started', { name });
    return undefined;
  },
});

/** `Custom::StrataRegion`: writes a region into its own registry and into every other one, on every deployment. */
const region = customResourceHandler({
  properties: z.object({
    RegionKey: text,
    AwsRegion: text,
    ApiUrl: text,
    SecretsKeyArn: text,
    DedicatedTemplateUrl: text,
    DedicatedRoleArn: text,
    DedicatedParameters: text
      .transform((json) => JSON.parse(json) as unknown)
      .pipe(z.record(z.string(), z.coerce.string())),
    DedicatedSizes: text
      .transform((json) => JSON.parse(json) as unknown)
      .pipe(z.record(z.enum(DATABASE_SIZES), z.record(z.string(), z.coerce.string()))),
  }),
  physicalId: ({ RegionKey }) => `region-${RegionKey}`,
  async apply(region) {
    const unreached = await exchangeRegions(RegionalRegistries.fromEnvironment(), {
      regionKey: region.RegionKey,
      awsRegion: region.AwsRegion,
      apiUrl: region.ApiUrl,
      secretsKeyArn: region.SecretsKeyArn,
      dedicatedTemplateUrl: region.DedicatedTemplateUrl,
      dedicatedRoleArn: region.DedicatedRoleArn,
      dedicatedParameters: region.DedicatedParameters,
      dedicatedSizes: region.DedicatedSizes,
    });
    // A region that is deployed later writes both directions. If a region should have answered by now, look for it in
    // this log.
    for (const { regionKey, error } of unreached) {
      logger.warn('a region was left out', { region: regionKey, error: error as Error });
    }
  },
});

export const handler = customResourceHandlers({
  'Custom::StrataRegion': region,
  'Custom::StrataRollout': rollout,
});
