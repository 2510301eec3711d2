import { RemovalPolicy } from 'aws-cdk-lib';
import {
  FlowLogDestination,
  FlowLogTrafficType,
  IpAddresses,
  type IVpc,
  SubnetType,
  Vpc,
} from 'aws-cdk-lib/aws-ec2';
import { LogGroup } from 'aws-cdk-lib/aws-logs';
import { Construct } from 'constructs';

export interface IsolatedVpcProps {
  readonly cidr: string;
  readonly availabilityZones: readonly string[];
  readonly logRetentionDays: number;
}

/** A network without any route to or from the internet: no internet gateway, no NAT. Rejected traffic is logged. */
export class IsolatedVpc extends Construct {
  readonly vpc: IVpc;
  readonly subnetIds: string[];

  constructor(scope: Construct, id: string, props: IsolatedVpcProps) {
    super(scope, id);
    const vpc = new Vpc(this, 'Vpc', {
      ipAddresses: IpAddresses.cidr(props.cidr),
      availabilityZones: [...props.availabilityZones],
      natGateways: 0,
      subnetConfiguration: [{ name: 'Isolated', subnetType: SubnetType.PRIVATE_ISOLATED, cidrMask: 20 }],
      // It would add a CDK-internal custom resource with rights on security groups. Nothing uses the default group.
      restrictDefaultSecurityGroup: false,
    });
    const logs = new LogGroup(this, 'FlowLogs', {
      retention: props.logRetentionDays,
      removalPolicy: RemovalPolicy.RETAIN_ON_UPDATE_OR_DELETE,
    });
    vpc.addFlowLog('Rejected', {
      destination: FlowLogDestination.toCloudWatchLogs(logs),
      trafficType: FlowLogTrafficType.REJECT,
    });
    // CDK's classes do not satisfy its own interfaces under exactOptionalPropertyTypes.
    this.vpc = vpc as IVpc;
    this.subnetIds = vpc.isolatedSubnets.map(({ subnetId }) => subnetId);
  }
}
