import type { DataApi } from '../../functions/registry/data-api.ts';
import { RegionalRegistries } from '../../functions/registry/regional-registries.ts';
import { type ControlPlane, startControlPlane } from '../onboarding/control-plane.ts';

export interface TwoRegistries {
  readonly plane: ControlPlane;
  readonly us: DataApi;
  readonly eu: DataApi;
  /** With the rights of the schema's owner, for what only a test does. */
  readonly masters: Readonly<Record<'us' | 'eu', DataApi>>;
  /** What a function of that region reads from its environment; a region `down` has a registry that is not there. */
  environment(ownKey: 'us' | 'eu', options?: { down?: boolean }): Record<string, string>;
  registries(ownKey: 'us' | 'eu', options?: { down?: boolean }): RegionalRegistries;
}

const AWS_REGIONS = { us: 'us-east-1', eu: 'eu-west-1' } as const;

/** Home is `us`; each region has a registry and a cell. */
export async function startTwoRegistries(): Promise<TwoRegistries> {
  const plane = await startControlPlane();
  const { registry: eu, master, ...there } = await plane.addRegistry(AWS_REGIONS.eu);
  await plane.addCell();
  await plane.addCell({ dataResidency: 'eu', master });
  const masters = { us: plane.master, eu: master };
  for (const each of Object.values(masters)) {
    for (const [key, awsRegion] of Object.entries(AWS_REGIONS)) {
      await each.query(
        `INSERT INTO regions (region_key, aws_region, api_url, secrets_key_arn, dedicated_template_url,
                              dedicated_role_arn, dedicated_parameters)
         VALUES (:key, :awsRegion, :apiUrl, 'none', 'none', 'none', '{}')`,
        { key, awsRegion, apiUrl: `https://${key}.api.test` },
      );
    }
  }
  const arns = { us: plane, eu: there };
  const environment: TwoRegistries['environment'] = (ownKey, { down = false } = {}) => {
    const entry = (region: 'us' | 'eu') => ({
      region,
      awsRegion: AWS_REGIONS[region],
      secretName: 'strata/registry/writer',
      database: 'registry',
      clusterArn: arns[region].clusterArn,
    });
    const gone = { ...entry('eu'), region: 'apac', awsRegion: 'ap-southeast-2' };
    return {
      REGISTRY_CLUSTER_ARN: arns[ownKey].clusterArn,
      REGISTRY_SECRET_ARN: arns[ownKey].secretArn,
      REGISTRY_DATABASE: 'registry',
      REGION_KEY: ownKey,
      AWS_REGION: AWS_REGIONS[ownKey],
      REGISTRIES: JSON.stringify([entry('us'), entry('eu'), ...(down ? [gone] : [])]),
    };
  };
  return {
    plane,
    us: plane.registry,
    eu,
    masters,
    environment,
    registries: (ownKey, options) => RegionalRegistries.fromEnvironment(environment(ownKey, options)),
  };
}
