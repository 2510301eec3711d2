import { CfnOutput, Stack } from 'aws-cdk-lib';
import type { Construct } from 'constructs';
import type { RegionConfig } from '../config.ts';
import { DataKey } from '../constructs/data-key.ts';
import { FieldKeys } from '../constructs/field-keys.ts';
import { regionalStackName } from '../constructs/region-names.ts';
import { type EndpointName, RegionNetwork } from '../constructs/region-network.ts';
import { RunTimeSecrets } from '../constructs/run-time-secrets.ts';
import { type SharedSettings, stackProps, tagStack } from './stack-props.ts';

/** Outputs, when there are several regions. */
export const VPC_OUTPUT = 'VpcId';
export const endpointOutput = (name: EndpointName): string => `${name}Endpoint`;

/** The first stack of a region: its network and the keys of its data, which all other stacks of the region refer to. */
export class NetworkStack extends Stack {
  readonly place: RegionConfig;
  readonly key: DataKey;
  readonly fieldKeys: FieldKeys;
  readonly network: RegionNetwork;
  readonly secrets: RunTimeSecrets;

  constructor(scope: Construct, region: RegionConfig, { config }: SharedSettings) {
    const description = `Strata: network and data key of region ${region.key}`;
    super(scope, regionalStackName(region.key, 'network'), stackProps(region, description, config));
    tagStack(this, 'data-plane', region, config);
    this.place = region;
    this.key = new DataKey(this, 'Key', {
      description: `Strata ${region.key}: clusters, secrets and backups`,
    });
    this.fieldKeys = new FieldKeys(this, 'Fields', region.key, config.backups.secondRegions?.[region.key]);
    this.network = new RegionNetwork(this, 'Network', region, config);
    this.secrets = new RunTimeSecrets(this, 'Secrets', this.key.keyArn);
    if (config.regions.length > 1) this.#tellLinks();
  }

  /** Outputs that links of other regions read, because they cannot refer to this stack. */
  #tellLinks(): void {
    new CfnOutput(this, VPC_OUTPUT, { value: this.network.vpc.vpcId });
    for (const [name, value] of Object.entries(this.network.endpoints)) {
      new CfnOutput(this, endpointOutput(name as EndpointName), { value });
    }
  }
}
