import { CfnOutput, Stack } from 'aws-cdk-lib';
import type { Construct } from 'constructs';
import type { RegionConfig } from '../config.ts';
import { AlarmTopic } from '../constructs/alarms.ts';
import { ClusterProtection } from '../constructs/cluster-protection.ts';
import { Identity } from '../constructs/identity.ts';
import { regionalStackName, registryClusterName } from '../constructs/region-names.ts';
import { Registry } from '../constructs/registry.ts';
import type { ControlPlane } from './control-plane-stack.ts';
import type { NetworkStack } from './network-stack.ts';
import { type SharedSettings, stackProps, tagStack } from './stack-props.ts';

/**
 * The control plane of a region other than home: a registry and a user pool, because users' addresses stay in their
 * region.
 */
export class RegionalControlPlaneStack extends Stack implements ControlPlane {
  readonly registry: Registry;
  readonly identity: Identity;
  readonly alarmTopicArn: string;

  constructor(
    scope: Construct,
    region: RegionConfig,
    { config, bundle, ...props }: SharedSettings & { readonly network: NetworkStack },
  ) {
    const description = `Strata: registry and user pool of region ${region.key}`;
    super(scope, regionalStackName(region.key, 'control-plane'), stackProps(region, description, config));
    tagStack(this, 'control-plane', region, config);
    const { key, network } = props.network;
    const topic = new AlarmTopic(this, 'Alarms', { key, email: config.alarmEmail });
    this.alarmTopicArn = topic.topicArn;
    const settings = { config, bundle, alarmTopicArn: topic.topicArn };
    this.registry = new Registry(this, 'Registry', {
      ...settings,
      region,
      identifier: registryClusterName(config, region.key),
      network,
      key,
    });
    this.identity = new Identity(this, 'Identity', { ...settings, region, registry: this.registry });
    new ClusterProtection(this, 'ClusterProtection', {
      clusters: [this.registry.cluster],
      deletionProtection: config.deletionProtection,
      task: this.registry.bootstrap,
      release: bundle.hash,
    });
    new CfnOutput(this, 'UserPoolId', { value: this.identity.userPoolId });
    new CfnOutput(this, 'UserPoolClientId', { value: this.identity.clientIds[0] ?? '' });
  }
}
