import { CfnOutput, CustomResource, Duration, Fn, Stack } from 'aws-cdk-lib';
import { CfnRoute, CfnVPCPeeringConnection } from 'aws-cdk-lib/aws-ec2';
import { Grant } from 'aws-cdk-lib/aws-iam';
import { ARecord, PrivateHostedZone, RecordTarget } from 'aws-cdk-lib/aws-route53';
import type { Construct } from 'constructs';
import { acknowledgePattern } from '../constructs/acknowledge-finding.ts';
import { ENDPOINT_SERVICES, type EndpointName } from '../constructs/region-network.ts';
import { StrataFunction } from '../constructs/strata-function.ts';
import { endpointOutput, type NetworkStack, VPC_OUTPUT } from './network-stack.ts';
import { type SharedSettings, stackProps, tagStack } from './stack-props.ts';

export interface RegionLinkStackProps extends SharedSettings {
  /** Of the region that the stack is in. */
  readonly near: NetworkStack;
  /** Of the region that it opens the way to. */
  readonly far: NetworkStack;
  /** Of the region that the stack is in. */
  readonly alarmTopicArn: string;
  /** The link in the other direction, which has made the peering connection. Without one this link makes it. */
  readonly counterpart?: RegionLinkStack;
}

const PEERING_OUTPUT = 'PeeringConnectionId';
const ENDPOINTS = Object.keys(ENDPOINT_SERVICES) as EndpointName[];

/**
 * The way from one region's network into another's, for moves: routes to its databases, and its AWS services by its own
 * interface endpoints, under the names that SDKs call. Two of these make a pair; the first makes the connection.
 *
 * A stack of its own, so that each region deploys whether others exist or not. It cannot refer to the other region's
 * resources, hence a custom resource reads the outputs of the stacks there.
 */
export class RegionLinkStack extends Stack {
  readonly #lookUp: StrataFunction;

  constructor(scope: Construct, id: string, props: RegionLinkStackProps) {
    const { near, far, counterpart, config, bundle, alarmTopicArn } = props;
    const way = `from region ${near.place.key} to region ${far.place.key}`;
    super(scope, id, stackProps(near.place, `Strata: the way ${way}`, config));
    tagStack(this, 'region-link', near.place, config);
    this.addStackDependency(far);
    if (counterpart) this.addStackDependency(counterpart);
    this.#lookUp = new StrataFunction(this, 'LookUp', {
      config,
      bundle,
      alarmTopicArn,
      entry: 'tasks/look-up-outputs',
      environment: {},
      description: 'Reads what stacks of another region tell, on every deployment',
      timeout: Duration.minutes(1),
    });
    const there = this.#outputsOf(far, [
      ...(counterpart ? [] : [VPC_OUTPUT]),
      ...ENDPOINTS.map(endpointOutput),
    ]);
    const peeringId = counterpart
      ? this.#outputsOf(counterpart, [PEERING_OUTPUT]).getAttString(PEERING_OUTPUT)
      : this.#connect(props, there.getAttString(VPC_OUTPUT));
    this.#route(props, peeringId);
    for (const name of ENDPOINTS) this.#resolve(props, name, there.getAttString(endpointOutput(name)));
  }

  /** Both networks are of one account, so the other side accepts by itself. */
  #connect({ near, far }: RegionLinkStackProps, peerVpcId: string): string {
    const { attrId } = new CfnVPCPeeringConnection(this, 'Peering', {
      vpcId: near.network.vpc.vpcId,
      peerVpcId,
      peerRegion: far.place.awsRegion,
      tags: [{ key: 'Name', value: `strata-${near.place.key}-${far.place.key}` }],
    });
    new CfnOutput(this, PEERING_OUTPUT, { value: attrId });
    return attrId;
  }

  #route({ near, far }: RegionLinkStackProps, vpcPeeringConnectionId: string): void {
    near.network.vpc.isolatedSubnets.forEach(({ routeTable }, index) => {
      new CfnRoute(this, `Route${index + 1}`, {
        routeTableId: routeTable.routeTableId,
        destinationCidrBlock: far.place.cidr,
        vpcPeeringConnectionId,
      });
    });
  }

  /** Lets a service of the other region be found at its endpoint there, which alone can be reached from here. */
  #resolve({ near, far }: RegionLinkStackProps, name: EndpointName, dnsEntry: string): void {
    const zone = new PrivateHostedZone(this, `${name}Zone`, {
      zoneName: `${ENDPOINT_SERVICES[name].shortName}.${far.place.awsRegion}.amazonaws.com`,
      vpc: near.network.vpc,
      comment: `The interface endpoint of region ${far.place.key}`,
    });
    const [hostedZoneId, dnsName] = [0, 1].map((index) => Fn.select(index, Fn.split(':', dnsEntry))) as [
      string,
      string,
    ];
    new ARecord(this, `${name}Record`, {
      zone,
      target: RecordTarget.fromAlias({ bind: () => ({ hostedZoneId, dnsName }) }),
    });
  }

  #outputsOf({ stackName, region: awsRegion }: Stack, outputs: string[]): CustomResource {
    const pattern = this.formatArn({
      service: 'cloudformation',
      region: awsRegion,
      resource: 'stack',
      resourceName: `${stackName}/*`,
    });
    acknowledgePattern(
      this.#lookUp,
      pattern,
      'CloudFormation makes up the id behind the name of this one stack.',
    );
    Grant.addToPrincipal({
      grantee: this.#lookUp,
      actions: ['cloudformation:DescribeStacks'],
      resourceArns: [pattern],
    });
    return new CustomResource(this, `${stackName}-Outputs`, {
      resourceType: 'Custom::StrataOutputs',
      serviceToken: this.#lookUp.functionArn,
      serviceTimeout: Duration.minutes(5),
      // Different in every synth, so that CloudFormation reads them in every deployment.
      properties: {
        AwsRegion: awsRegion,
        StackName: stackName,
        Outputs: outputs,
        DeployTime: new Date().toISOString(),
      },
    });
  }
}
