import type {
  CreatedResource,
  PlatformContext,
  Properties,
  ResourceFactory,
  ResourceRequest,
} from '../model.ts';

/**
 * Resource types that need only a name locally: networks, roles (the AWS endpoint reads their policies), alarms, log
 * groups. Other modules may provide a complete factory of the same type, which takes precedence.
 */
export function passiveResourceTypes(): ResourceFactory[] {
  return Object.entries(passive).map(([type, describe]) => ({
    type,
    create: async (request, context) => describe(asNamed(request, context)),
  }));
}

/** Resource types that are ignored locally, with the reason. `Ref` returns a name for them; they have no attributes. */
export const ignoredResourceTypes: Record<string, string> = {
  'AWS::Backup::BackupPlan': 'no snapshots are taken by schedule locally',
  'AWS::Backup::BackupSelection': 'no snapshots are taken by schedule locally',
  'AWS::Backup::BackupVault': 'there are no snapshots to keep locally',
  'AWS::CDK::Metadata': 'usage statistics of the CDK',
  'AWS::Lambda::EventInvokeConfig': 'asynchronous invocations are not retried locally',
  'AWS::Lambda::LayerVersion': 'functions are bundled whole',
  'AWS::S3::BucketPolicy': 'no policies of buckets are evaluated locally',
  'AWS::SQS::QueuePolicy': 'only rules read it; callers are checked by their own policies',
  'AWS::Events::Archive': 'events are not archived locally',
  'AWS::Events::EventBusPolicy': 'callers are checked by their own policies only',
  'AWS::SecretsManager::ResourcePolicy': 'callers are checked by their own policies only',
  'AWS::SecretsManager::RotationSchedule': 'nothing rotates by itself locally',
  'AWS::Logs::ResourcePolicy': 'logs are files',
  'Custom::VpcRestrictDefaultSG': 'CDK-internal: there are no security groups locally',
  'Custom::S3AutoDeleteObjects': 'CDK-internal: a bucket must be emptied before it is deleted',
  'Custom::S3BucketNotifications': 'CDK-internal: buckets send no notifications locally',
  'Custom::LogRetention': 'CDK-internal: logs are files',
  'Custom::AWS': 'CDK-internal: AWS calls at deployment',
};

/** One factory per ignored type. */
export function ignoredResourceFactories(): ResourceFactory[] {
  return Object.keys(ignoredResourceTypes).map((type) => ({
    type,
    create: async ({ defaultName }) => ({ ref: defaultName, attributes: {} }),
  }));
}

interface Named {
  properties: Properties;
  /** The property with its name; without it a name is generated. */
  name(property: string): string;
  /** `<prefix>-0123456789abcdef0`, in the form of EC2's ids. */
  id(prefix: string): string;
  arn(service: string, resource: string): string;
  /** For services whose ARNs contain no region. */
  globalArn(service: string, resource: string): string;
  context: PlatformContext;
}

function asNamed({ stack, properties, defaultName }: ResourceRequest, context: PlatformContext): Named {
  return {
    properties,
    context,
    name: (property) =>
      typeof properties[property] === 'string' ? (properties[property] as string) : defaultName,
    id: (prefix) => `${prefix}-0${defaultName.slice(-12).toLowerCase()}0000`,
    arn: (service, resource) => `arn:aws:${service}:${stack.region}:${context.account}:${resource}`,
    globalArn: (service, resource) => `arn:aws:${service}::${context.account}:${resource}`,
  };
}

function ec2(prefix: string, attributes: (id: string, named: Named) => Record<string, unknown> = () => ({})) {
  return (named: Named): CreatedResource => {
    const ref = named.id(prefix);
    return { ref, attributes: { Id: ref, ...attributes(ref, named) } };
  };
}

function byName(
  property: string,
  attributes: (name: string, named: Named) => Record<string, unknown> = () => ({}),
) {
  return (named: Named): CreatedResource => {
    const ref = named.name(property);
    return { ref, attributes: attributes(ref, named) };
  };
}

const passive: Record<string, (named: Named) => CreatedResource> = {
  'AWS::EC2::VPC': ec2('vpc', (VpcId, { properties, id }) => ({
    VpcId,
    CidrBlock: properties.CidrBlock,
    DefaultSecurityGroup: id('sg'),
    DefaultNetworkAcl: id('acl'),
  })),
  'AWS::EC2::Subnet': ec2('subnet', (SubnetId, { properties }) => ({
    SubnetId,
    AvailabilityZone: properties.AvailabilityZone,
    CidrBlock: properties.CidrBlock,
    VpcId: properties.VpcId,
  })),
  'AWS::EC2::RouteTable': ec2('rtb', (RouteTableId) => ({ RouteTableId })),
  'AWS::EC2::SubnetRouteTableAssociation': ec2('rtbassoc'),
  'AWS::EC2::Route': ec2('r'),
  'AWS::EC2::InternetGateway': ec2('igw', (InternetGatewayId) => ({ InternetGatewayId })),
  'AWS::EC2::VPCGatewayAttachment': ec2('igw-attach'),
  'AWS::EC2::NatGateway': ec2('nat', (NatGatewayId) => ({ NatGatewayId })),
  'AWS::EC2::EIP': ec2('eipalloc', (AllocationId) => ({ AllocationId, PublicIp: '127.0.0.1' })),
  'AWS::EC2::VPCEndpoint': ec2('vpce', (vpce, { id }) => ({
    // As AWS lists them: hosted zone and name.
    DnsEntries: [`${id('Z')}:${vpce}.vpce.localhost`],
    NetworkInterfaceIds: [id('eni')],
  })),
  'AWS::EC2::VPCPeeringConnection': ec2('pcx'),
  'AWS::EC2::SecurityGroup': ec2('sg', (GroupId, { properties }) => ({ GroupId, VpcId: properties.VpcId })),
  'AWS::EC2::SecurityGroupIngress': ec2('sgr'),
  'AWS::EC2::SecurityGroupEgress': ec2('sgr'),
  'AWS::EC2::FlowLog': ec2('fl'),
  'AWS::IAM::Role': byName('RoleName', (name, { globalArn, context, properties, id }) => {
    const Arn = globalArn('iam', `role${typeof properties.Path === 'string' ? properties.Path : '/'}${name}`);
    // Its key is known from now on, so calls with that key are no longer an administrator's.
    context.principals.accessKeyFor(Arn);
    return { Arn, RoleId: id('AROA') };
  }),
  'AWS::IAM::Policy': byName('PolicyName', (name) => ({ Id: name })),
  'AWS::IAM::ManagedPolicy': (named) => {
    const ref = named.globalArn('iam', `policy/${named.name('ManagedPolicyName')}`);
    return { ref, attributes: { PolicyArn: ref } };
  },
  'AWS::Logs::LogGroup': byName('LogGroupName', (name, { arn }) => ({
    Arn: arn('logs', `log-group:${name}:*`),
  })),
  'AWS::Logs::MetricFilter': byName('FilterName'),
  'AWS::Logs::QueryDefinition': byName('Name'),
  'AWS::CloudWatch::Alarm': byName('AlarmName', (name, { arn }) => ({
    Arn: arn('cloudwatch', `alarm:${name}`),
  })),
  'AWS::CloudWatch::CompositeAlarm': byName('AlarmName', (name, { arn }) => ({
    Arn: arn('cloudwatch', `alarm:${name}`),
  })),
  'AWS::CloudWatch::Dashboard': byName('DashboardName'),
  'AWS::Route53::HostedZone': ec2('Z', () => ({ NameServers: [] })),
  'AWS::Route53::RecordSet': byName('Name'),
  'AWS::KMS::Alias': byName('AliasName'),
  'AWS::RDS::DBSubnetGroup': byName('DBSubnetGroupName'),
  'AWS::RDS::DBClusterParameterGroup': byName('DBClusterParameterGroupName'),
  'AWS::RDS::DBParameterGroup': byName('DBParameterGroupName'),
};
