import { ArnFormat, Stack } from 'aws-cdk-lib';
import { ManagedPolicy, PolicyStatement, Role, ServicePrincipal } from 'aws-cdk-lib/aws-iam';
import { Construct, type IConstruct } from 'constructs';
import { DEDICATED_NAMES } from '../../functions/contracts/names.ts';
import { acknowledgeFinding, acknowledgePattern } from './acknowledge-finding.ts';
import { launchRoleName } from './region-names.ts';
import type { RunTimeSecrets } from './run-time-secrets.ts';

export const RESOURCE_TAG = 'aws:ResourceTag/strata:component';
/** Tag of the resources in the template of dedicated databases. */
export const COMPONENT = 'dedicated-database';

export interface DedicatedServiceRoleProps {
  readonly regionKey: string;
  /** The only role that it may pass on. */
  readonly proxyRoleArn: string;
  readonly secrets: RunTimeSecrets;
  readonly keyArn: string;
}

/**
 * The role that CloudFormation assumes to launch a dedicated database. It can create exactly the resources of that
 * template, named after a tenant. The same policy is its permissions boundary, so a policy that is attached later
 * cannot widen it.
 */
export class DedicatedServiceRole extends Construct {
  readonly role: Role;

  constructor(scope: Construct, id: string, props: DedicatedServiceRoleProps) {
    super(scope, id);
    const policy = new ManagedPolicy(this, 'Rights', {
      description: 'Creates, changes and deletes the resources of a dedicated database, and nothing else',
      statements: statements(this, props),
    });
    acknowledgePatterns(this, policy, props.secrets);
    this.role = new Role(this, 'Role', {
      roleName: launchRoleName(props.regionKey),
      // No condition on `aws:SourceAccount`: AWS does not document it for the service role of a stack.
      assumedBy: new ServicePrincipal('cloudformation.amazonaws.com'),
      description: 'CloudFormation acts as this role when it launches a dedicated database',
      permissionsBoundary: policy,
      managedPolicies: [policy],
    });
  }
}

/**
 * Resources of the template by ARN pattern: identifiers begin with the tenant's stack name. AWS's service authorization
 * reference, and the table of the local evaluator, list the resource types of each action.
 */
function patterns(scope: IConstruct) {
  const stack = Stack.of(scope);
  const rds = (resource: string, resourceName: string): string =>
    stack.formatArn({ service: 'rds', resource, resourceName, arnFormat: ArnFormat.COLON_RESOURCE_NAME });
  return {
    databases: [
      rds('cluster', `${DEDICATED_NAMES}*`),
      rds('db', `${DEDICATED_NAMES}*`),
      rds('subgrp', `${DEDICATED_NAMES}*`),
      rds('cluster-pg', `${DEDICATED_NAMES}*`),
      // Deleting a cluster also needs the right to create its last snapshot.
      rds('cluster-snapshot', `${DEDICATED_NAMES}*`),
    ],
    // Creating a cluster or an instance needs the right to use its groups, including RDS's default ones.
    defaultGroups: [rds('og', 'default*'), rds('pg', 'default*')],
    // Their ARNs contain an id that RDS generates, not the name.
    proxies: rds('db-proxy', '*'),
    endpoints: rds('db-proxy-endpoint', '*'),
    targetGroups: rds('target-group', '*'),
    logs: ['cluster', 'proxy'].map((kind) =>
      stack.formatArn({
        service: 'logs',
        resource: 'log-group',
        resourceName: `/aws/rds/${kind}/${DEDICATED_NAMES}*`,
        arnFormat: ArnFormat.COLON_RESOURCE_NAME,
      }),
    ),
    alarms: [
      stack.formatArn({
        service: 'cloudwatch',
        resource: 'alarm',
        resourceName: `${DEDICATED_NAMES}*`,
        arnFormat: ArnFormat.COLON_RESOURCE_NAME,
      }),
    ],
  };
}

function statements(scope: IConstruct, props: DedicatedServiceRoleProps): PolicyStatement[] {
  const { databases, defaultGroups, proxies, endpoints, targetGroups, logs, alarms } = patterns(scope);
  const { tenantPattern, dedicatedPattern } = props.secrets;
  const { region } = Stack.of(scope);
  return [
    new PolicyStatement({
      sid: 'Databases',
      actions: [
        'rds:CreateDBCluster',
        'rds:ModifyDBCluster',
        'rds:DeleteDBCluster',
        'rds:CreateDBInstance',
        'rds:ModifyDBInstance',
        'rds:DeleteDBInstance',
        'rds:CreateDBSubnetGroup',
        'rds:ModifyDBSubnetGroup',
        'rds:DeleteDBSubnetGroup',
        'rds:CreateDBClusterParameterGroup',
        'rds:ModifyDBClusterParameterGroup',
        'rds:DeleteDBClusterParameterGroup',
        'rds:DescribeDBClusterParameters',
        'rds:RegisterDBProxyTargets',
        'rds:DeregisterDBProxyTargets',
        'rds:AddTagsToResource',
        'rds:ListTagsForResource',
        'rds:RemoveTagsFromResource',
      ],
      resources: databases,
    }),
    new PolicyStatement({
      sid: 'DefaultGroups',
      actions: ['rds:CreateDBCluster', 'rds:ModifyDBCluster', 'rds:CreateDBInstance', 'rds:ModifyDBInstance'],
      resources: defaultGroups,
    }),
    new PolicyStatement({
      sid: 'Proxies',
      actions: [
        'rds:ModifyDBProxy',
        'rds:DeleteDBProxy',
        'rds:DeregisterDBProxyTargets',
        // Also an endpoint is made for a proxy that has the tag.
        'rds:CreateDBProxyEndpoint',
        'rds:ModifyDBProxyEndpoint',
        'rds:DeleteDBProxyEndpoint',
        'rds:AddTagsToResource',
        'rds:ListTagsForResource',
        'rds:RemoveTagsFromResource',
      ],
      resources: [proxies, endpoints],
      // A proxy's ARN has a random id, so the tag identifies it. Cells' proxies, and proxies without the tag, are out
      // of reach.
      conditions: { StringEquals: { [RESOURCE_TAG]: COMPONENT } },
    }),
    new PolicyStatement({
      sid: 'NewProxies',
      // It has no resource type: a grant on an ARN would not match.
      actions: ['rds:CreateDBProxy'],
      resources: ['*'],
      conditions: { StringEquals: { 'aws:RequestTag/strata:component': COMPONENT } },
    }),
    new PolicyStatement({
      sid: 'NewProxyEndpoints',
      actions: ['rds:CreateDBProxyEndpoint'],
      resources: [endpoints],
      conditions: { StringEquals: { 'aws:RequestTag/strata:component': COMPONENT } },
    }),
    new PolicyStatement({
      sid: 'TagsOfNewProxies',
      // RDS also checks this action when a proxy is created with tags.
      actions: ['rds:AddTagsToResource'],
      resources: [proxies, endpoints],
      conditions: {
        StringEquals: { 'aws:RequestTag/strata:component': COMPONENT },
        // A resource that is being created has no tag yet. One with another tag cannot be changed into ours by tagging
        // it.
        StringEqualsIfExists: { [RESOURCE_TAG]: COMPONENT },
      },
    }),
    new PolicyStatement({
      sid: 'TargetGroups',
      actions: [
        'rds:ModifyDBProxyTargetGroup',
        'rds:RegisterDBProxyTargets',
        'rds:DeregisterDBProxyTargets',
        'rds:AddTagsToResource',
        'rds:ListTagsForResource',
        'rds:RemoveTagsFromResource',
      ],
      resources: [targetGroups],
      // RDS creates a target group with its proxy, and it is not documented that it has the tag before CloudFormation
      // uses it. Cells' target groups have their own tag and are out of reach.
      conditions: { StringEqualsIfExists: { [RESOURCE_TAG]: COMPONENT } },
    }),
    new PolicyStatement({
      sid: 'Secrets',
      actions: [
        'secretsmanager:CreateSecret',
        'secretsmanager:DescribeSecret',
        'secretsmanager:GetSecretValue',
        'secretsmanager:UpdateSecret',
        'secretsmanager:DeleteSecret',
        'secretsmanager:TagResource',
        'secretsmanager:UntagResource',
      ],
      resources: [tenantPattern, dedicatedPattern],
    }),
    new PolicyStatement({
      sid: 'Encryption',
      actions: ['kms:Decrypt', 'kms:GenerateDataKey', 'kms:CreateGrant', 'kms:DescribeKey'],
      resources: [props.keyArn],
      conditions: {
        StringEquals: {
          'kms:ViaService': [`rds.${region}.amazonaws.com`, `secretsmanager.${region}.amazonaws.com`],
        },
      },
    }),
    new PolicyStatement({
      sid: 'Logs',
      actions: [
        'logs:CreateLogGroup',
        'logs:DeleteLogGroup',
        'logs:PutRetentionPolicy',
        'logs:TagResource',
        'logs:UntagResource',
        'logs:ListTagsForResource',
      ],
      resources: logs,
    }),
    new PolicyStatement({
      sid: 'Alarms',
      actions: [
        'cloudwatch:PutMetricAlarm',
        'cloudwatch:DeleteAlarms',
        'cloudwatch:TagResource',
        'cloudwatch:UntagResource',
        'cloudwatch:ListTagsForResource',
      ],
      resources: alarms,
    }),
    new PolicyStatement({
      sid: 'ProxyRole',
      actions: ['iam:PassRole'],
      resources: [props.proxyRoleArn],
      conditions: { StringEquals: { 'iam:PassedToService': 'rds.amazonaws.com' } },
    }),
    new PolicyStatement({
      sid: 'Describe',
      actions: [
        'rds:DescribeDBClusters',
        'rds:DescribeDBInstances',
        'rds:DescribeDBSubnetGroups',
        'rds:DescribeDBClusterParameterGroups',
        'rds:DescribeEngineDefaultClusterParameters',
        'rds:DescribeDBProxies',
        'rds:DescribeDBProxyEndpoints',
        'rds:DescribeDBProxyTargetGroups',
        'rds:DescribeDBProxyTargets',
        'rds:DescribeGlobalClusters',
        'ec2:DescribeAvailabilityZones',
        'ec2:DescribeSecurityGroups',
        'ec2:DescribeSubnets',
        'ec2:DescribeVpcs',
        'ec2:DescribeVpcAttribute',
        'logs:DescribeLogGroups',
        'cloudwatch:DescribeAlarms',
        'secretsmanager:GetRandomPassword',
      ],
      resources: ['*'],
    }),
  ];
}

function acknowledgePatterns(scope: IConstruct, policy: ManagedPolicy, secrets: RunTimeSecrets): void {
  const { databases, defaultGroups, proxies, endpoints, targetGroups, logs, alarms } = patterns(scope);
  for (const pattern of defaultGroups) {
    acknowledgePattern(policy, pattern, 'Default groups are RDS’s own; their names depend on the engine.');
  }
  for (const pattern of [...databases, ...logs, ...alarms]) {
    acknowledgePattern(
      policy,
      pattern,
      'Resources of a dedicated database are named after its tenant, at run time.',
    );
  }
  for (const pattern of [secrets.tenantPattern, secrets.dedicatedPattern]) {
    acknowledgePattern(
      policy,
      pattern,
      'The secrets of a dedicated database are named after its tenant, at run time.',
    );
  }
  for (const pattern of [proxies, endpoints, targetGroups]) {
    acknowledgePattern(
      policy,
      pattern,
      'RDS makes up these ids; the statements are bound to the tag of dedicated databases.',
    );
  }
  acknowledgeFinding(
    policy,
    'IAM5[Resource::*]',
    'Describing resources, asking for a random password and creating a proxy are not authorized on single resources; a new proxy must have the tag.',
  );
}
