import * as z from 'zod';
import { exchangeRegions } from '../database/registry/region-records.ts';
import { RegionalRegistries } from '../database/registry/regional-registries.ts';
import { clusterProtection } from '../middleware/cluster-protection.ts';
import { customResourceHandler, customResourceHandlers } from '../middleware/custom-resource.ts';
import { logger } from '../middleware/logger.ts';

const text = z.string().min(1);

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

/** The function works outside of the network, so it also reaches the API of RDS. */
export const handler = customResourceHandlers({
  'Custom::StrataRegion': region,
  'Custom::StrataClusterProtection': clusterProtection,
});
