import * as z from 'zod';
import { startExecution } from '../aws/executions.ts';
import { logger } from '../aws/logger.ts';
import { type RegionEnvironment, variable } from '../contracts/environments.ts';
import { thisRelease } from '../database/provisioning/release.ts';
import { registryFromEnvironment } from '../registry/data-api.ts';
import { RegionalRegistries } from '../registry/regional-registries.ts';
import { exchangeRegions } from '../registry/regions.ts';
import { somethingLags } from '../rollouts/rollout-targets.ts';
import { customResourceHandler, customResourceHandlers } from './custom-resource.ts';

const text = z.string().min(1);

/** `Custom::StrataRollout`: starts a schema rollout where a target lags behind this code, without waiting for it. */
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

/** `Custom::StrataRegion`: makes a region known in its own registry and in every other, on every deployment. */
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
    });
    // A region that is deployed later exchanges both ways; one that should answer by now is looked for in this log.
    for (const { regionKey, error } of unreached) {
      logger.warn('a region was passed over', { region: regionKey, error: error as Error });
    }
  },
});

export const handler = customResourceHandlers({
  'Custom::StrataRegion': region,
  'Custom::StrataRollout': rollout,
});
