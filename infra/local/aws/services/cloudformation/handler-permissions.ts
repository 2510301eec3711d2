/**
 * The permissions that CloudFormation's resource handlers need from a stack's role, by resource type: to create a
 * resource, and to delete it. The table has only the calls that the handlers make for such resources; the
 * service-linked role of RDS exists, because cells do. A role cannot make a type that is missing here: add it.
 */

import {
  LOCAL_ACCOUNT,
  type LocalResource,
  type PlatformContext,
  type Properties,
  type ResourceFactory,
  type ResourceRequest,
} from '../../../model.ts';
import { ResourceFailure } from '../../errors.ts';
import type { Authorizer } from '../../iam/authorizer.ts';
import { Input } from '../../input.ts';
import type { Permission } from '../../service.ts';
import { requestTags, resourceTags, type Tag, tagsOf } from '../../tags.ts';
import type { RunTimeStacks } from './run-time-stacks.ts';

export interface HandlerPermissions {
  create(request: ResourceRequest): Permission[];
  /**
   * @param resource with at least the properties that a stack's record keeps (`REMOVAL_PROPERTIES`)
   * @param siblings resources of the same stack that exist
   */
  remove(resource: LocalResource, siblings: readonly LocalResource[]): Permission[];
}

export const HANDLER_PERMISSIONS: Readonly<Record<string, HandlerPermissions>> = {
  'AWS::SecretsManager::Secret': {
    create({ stack: { region }, properties, defaultName }) {
      const name = String(properties.Name ?? defaultName);
      const resource = `arn:aws:secretsmanager:${region}:${LOCAL_ACCOUNT}:secret:${name}-??????`;
      const context = { 'secretsmanager:Name': name, ...requestTags(tags(properties)) };
      return [
        { action: 'secretsmanager:CreateSecret', resource, context },
        // CloudFormation always adds its own tags.
        { action: 'secretsmanager:TagResource', resource, context },
        { action: 'secretsmanager:DescribeSecret', resource },
        ...(properties.GenerateSecretString
          ? [{ action: 'secretsmanager:GetRandomPassword', resource: '*' }]
          : []),
        ...onKey(properties.KmsKeyId, region, 'secretsmanager', ['GenerateDataKey', 'Decrypt']),
      ];
    },
    remove: ({ ref, properties }) =>
      ['DeleteSecret', 'DescribeSecret'].map((name) => existing(`secretsmanager:${name}`, ref, properties)),
  },
  'AWS::RDS::DBSubnetGroup': {
    create: (request) => {
      const group = named(request, 'subgrp', 'DBSubnetGroupName');
      return [...creating(request, 'CreateDBSubnetGroup', group), rds('DescribeDBSubnetGroups', group)];
    },
    remove: (resource) => {
      const group = rdsArn(regionOf(resource), 'subgrp', resource.ref);
      return removing(resource, ['DeleteDBSubnetGroup', 'DescribeDBSubnetGroups'], group);
    },
  },
  'AWS::RDS::DBClusterParameterGroup': {
    create: (request) => {
      const group = named(request, 'cluster-pg', 'DBClusterParameterGroupName');
      return [
        ...creating(request, 'CreateDBClusterParameterGroup', group),
        rds('DescribeEngineDefaultClusterParameters', '*'),
        rds('DescribeDBClusterParameters', group),
        rds('ModifyDBClusterParameterGroup', group),
        rds('DescribeDBClusterParameterGroups', group),
      ];
    },
    remove: (resource) => {
      const group = rdsArn(regionOf(resource), 'cluster-pg', resource.ref);
      return removing(resource, ['DeleteDBClusterParameterGroup', 'DescribeDBClusterParameterGroups'], group);
    },
  },
  'AWS::RDS::DBCluster': {
    create: (request) => {
      const { properties, stack } = request;
      const { region } = stack;
      const cluster = named(request, 'cluster', 'DBClusterIdentifier');
      const parameters = String(properties.DBClusterParameterGroupName ?? 'default.aurora-postgresql17');
      return [
        ...creating(request, 'CreateDBCluster', cluster),
        ...[
          rdsArn(region, 'cluster-pg', parameters),
          rdsArn(region, 'og', DEFAULT_OPTION_GROUP),
          rdsArn(region, 'subgrp', String(properties.DBSubnetGroupName ?? 'default')),
        ].map((resource) => rds('CreateDBCluster', resource, requestTags(tags(properties)))),
        rds('DescribeDBClusters', cluster),
        ...onKey(properties.KmsKeyId, region, 'rds', ['CreateGrant', 'DescribeKey']),
      ];
    },
    remove: (resource) => {
      const cluster = String(resource.attributes.DBClusterArn);
      // The reference requires the right on a snapshot also when none is made, and does not say on which.
      const snapshot = rdsArn(regionOf(resource), 'cluster-snapshot', `${resource.ref}-snapshot`);
      return [
        ...removing(resource, ['DeleteDBCluster', 'DescribeDBClusters'], cluster),
        rds('DeleteDBCluster', snapshot),
        rds('DescribeGlobalClusters', `arn:aws:rds::${LOCAL_ACCOUNT}:global-cluster:*`),
      ];
    },
  },
  'AWS::RDS::DBInstance': {
    create: (request) => {
      const { properties, stack } = request;
      const { region } = stack;
      const instance = named(request, 'db', 'DBInstanceIdentifier');
      return [
        ...creating(request, 'CreateDBInstance', instance),
        ...[
          rdsArn(region, 'cluster', String(properties.DBClusterIdentifier)),
          rdsArn(region, 'og', DEFAULT_OPTION_GROUP),
          rdsArn(region, 'pg', String(properties.DBParameterGroupName ?? 'default.aurora-postgresql17')),
        ].map((resource) => rds('CreateDBInstance', resource, requestTags(tags(properties)))),
        rds('DescribeDBInstances', instance),
        ...onKey(properties.PerformanceInsightsKMSKeyId, region, 'rds', ['GenerateDataKey', 'Decrypt']),
      ];
    },
    remove: (resource) =>
      removing(
        resource,
        ['DeleteDBInstance', 'DescribeDBInstances'],
        String(resource.attributes.DBInstanceArn),
      ),
  },
  'AWS::RDS::DBProxy': {
    create: (request) => {
      const proxies = rdsArn(request.stack.region, 'db-proxy', '*');
      const context = requestTags(tags(request.properties));
      return [
        rds('CreateDBProxy', '*', context),
        ...tagging(request, proxies),
        rds('DescribeDBProxies', proxies),
        {
          action: 'iam:PassRole',
          resource: String(request.properties.RoleArn),
          context: { 'iam:PassedToService': 'rds.amazonaws.com' },
        },
      ];
    },
    remove: (resource) =>
      removing(resource, ['DeleteDBProxy', 'DescribeDBProxies'], String(resource.attributes.DBProxyArn)),
  },
  'AWS::RDS::DBProxyEndpoint': {
    create: (request) => {
      const { region, resources } = request.stack;
      const endpoints = rdsArn(region, 'db-proxy-endpoint', '*');
      const { proxy } = behind(request.properties, [...resources.values()], region);
      return [
        ...creating(request, 'CreateDBProxyEndpoint', endpoints),
        rds('CreateDBProxyEndpoint', proxy.resource, proxy.context),
        rds('DescribeDBProxyEndpoints', endpoints),
        rds('DescribeDBProxyEndpoints', proxy.resource, proxy.context),
      ];
    },
    remove: (resource) =>
      removing(
        resource,
        ['DeleteDBProxyEndpoint', 'DescribeDBProxyEndpoints'],
        String(resource.attributes.DBProxyEndpointArn),
      ),
  },
  'AWS::RDS::DBProxyTargetGroup': {
    // RDS made it with its proxy; it is not documented that it has the proxy's tags.
    create: (request) => {
      const { region, resources } = request.stack;
      const group = rdsArn(region, 'target-group', '*');
      const { proxy, instances } = behind(request.properties, [...resources.values()], region);
      return [
        rds('DescribeDBProxies', proxy.resource, proxy.context),
        rds('DescribeDBProxyTargetGroups', proxy.resource, proxy.context),
        rds('DescribeDBProxyTargets', proxy.resource, proxy.context),
        rds('DescribeDBProxyTargets', group),
        rds('ModifyDBProxyTargetGroup', group),
        rds('RegisterDBProxyTargets', group),
        ...instances.map((instance) => rds('RegisterDBProxyTargets', instance.resource, instance.context)),
        ...tagging(request, group),
      ];
    },
    remove: (resource, siblings) => {
      const { proxy, clusters, instances } = behind(resource.properties, siblings, regionOf(resource));
      return [
        existing('rds:DeregisterDBProxyTargets', resource.ref, resource.properties),
        ...[proxy, ...clusters, ...instances].map((one) =>
          rds('DeregisterDBProxyTargets', one.resource, one.context),
        ),
      ];
    },
  },
  'AWS::Logs::LogGroup': {
    create: ({ stack: { region }, properties, defaultName }) => {
      const resource = `arn:aws:logs:${region}:${LOCAL_ACCOUNT}:log-group:${String(properties.LogGroupName ?? defaultName)}`;
      const sent = tags(properties);
      return [
        { action: 'logs:CreateLogGroup', resource, context: requestTags(sent) },
        ...(sent.length === 0 ? [] : [{ action: 'logs:TagResource', resource, context: requestTags(sent) }]),
        ...(properties.RetentionInDays === undefined
          ? []
          : [{ action: 'logs:PutRetentionPolicy', resource }]),
        { action: 'logs:DescribeLogGroups', resource: '*' },
      ];
    },
    remove: (resource) => [
      existing(
        'logs:DeleteLogGroup',
        `arn:aws:logs:${regionOf(resource)}:${LOCAL_ACCOUNT}:log-group:${resource.ref}`,
        resource.properties,
      ),
    ],
  },
  'AWS::CloudWatch::Alarm': {
    create: ({ stack: { region }, properties, defaultName }) => {
      const resource = `arn:aws:cloudwatch:${region}:${LOCAL_ACCOUNT}:alarm:${String(properties.AlarmName ?? defaultName)}`;
      const context = requestTags(tags(properties));
      return [
        { action: 'cloudwatch:PutMetricAlarm', resource, context },
        ...(tags(properties).length === 0 ? [] : [{ action: 'cloudwatch:TagResource', resource, context }]),
        { action: 'cloudwatch:DescribeAlarms', resource },
      ];
    },
    remove: (resource) =>
      ['DeleteAlarms', 'DescribeAlarms'].map((name) =>
        existing(`cloudwatch:${name}`, String(resource.attributes.Arn), resource.properties),
      ),
  },
};

const DEFAULT_OPTION_GROUP = 'default:aurora-postgresql-17';

const tags = (properties: Properties): Tag[] => tagsOf(new Input(properties));
/** The stack's id in its ARN. */
const regionOf = ({ stack }: LocalResource): string => stack.split(':')[3] ?? '';

const rds = (name: string, resource: string, context: Permission['context'] = {}): Permission => ({
  action: `rds:${name}`,
  resource,
  context,
});

function rdsArn(region: string, kind: string, name: string): string {
  return `arn:aws:rds:${region}:${LOCAL_ACCOUNT}:${kind}:${name}`;
}

function named({ stack, properties, defaultName }: ResourceRequest, kind: string, property: string): string {
  return rdsArn(stack.region, kind, String(properties[property] ?? defaultName).toLowerCase());
}

/** A new resource has no tags yet that a policy could check, so the request's tags count. */
function creating(request: ResourceRequest, name: string, resource: string): Permission[] {
  const context = requestTags(tags(request.properties));
  return [rds(name, resource, context), ...tagging(request, resource)];
}

/** RDS also requires this right when the request has tags. */
function tagging({ properties }: ResourceRequest, resource: string): Permission[] {
  const sent = tags(properties);
  return sent.length === 0 ? [] : [rds('AddTagsToResource', resource, requestTags(sent))];
}

const existing = (action: string, resource: string, properties: Properties): Permission => ({
  action,
  resource,
  context: resourceTags(tags(properties)),
});

function removing(resource: LocalResource, names: string[], arn: string): Permission[] {
  return names.map((name) => existing(`rds:${name}`, arn, resource.properties));
}

/** A service that CloudFormation calls uses the customer's key with the rights of the caller. */
function onKey(keyId: unknown, region: string, via: string, names: string[]): Permission[] {
  if (keyId === undefined) return [];
  const id = String(keyId);
  const resource = id.startsWith('arn:') ? id : `arn:aws:kms:${region}:${LOCAL_ACCOUNT}:key/${id}`;
  const context = { 'kms:ViaService': `${via}.${region}.amazonaws.com`, 'kms:CallerAccount': LOCAL_ACCOUNT };
  return names.map((name) => ({ action: `kms:${name}`, resource, context }));
}

/** The proxy of a target group, and the clusters and instances that it registers. */
function behind(
  { DBProxyName, DBClusterIdentifiers }: Properties,
  siblings: readonly LocalResource[],
  region: string,
): { proxy: Permission; clusters: Permission[]; instances: Permission[] } {
  const ofType = (type: string): LocalResource[] => siblings.filter((one) => one.type === type);
  const identifiers = (DBClusterIdentifiers as string[] | undefined) ?? [];
  const found = (attribute: string) => (resource: LocalResource) =>
    existing('', String(resource.attributes[attribute]), resource.properties);
  const [proxy = rds('', rdsArn(region, 'db-proxy', '*'))] = ofType('AWS::RDS::DBProxy')
    .filter(({ ref }) => ref === DBProxyName)
    .map(found('DBProxyArn'));
  const clusters = identifiers.map(
    (identifier) =>
      ofType('AWS::RDS::DBCluster')
        .filter(({ ref }) => ref === identifier)
        .map(found('DBClusterArn'))[0] ?? rds('', rdsArn(region, 'cluster', identifier)),
  );
  const instances = ofType('AWS::RDS::DBInstance')
    .filter(({ properties }) => identifiers.includes(String(properties.DBClusterIdentifier)))
    .map(found('DBInstanceArn'));
  return {
    proxy,
    clusters,
    // The reference requires the right on an instance also when a cluster has none.
    instances:
      instances.length > 0
        ? instances
        : identifiers.map((one) => rds('', rdsArn(region, 'db', `${one}-none`))),
  };
}

/**
 * Allows CloudFormation to make and delete a resource only if its service role has the permissions that AWS's own
 * resource handler needs. The assembly's stacks are deployed by an administrator, so nothing is checked for them.
 */
export function permitted(
  factory: ResourceFactory,
  stacks: Pick<RunTimeStacks, 'actor' | 'resourcesOf'>,
  authorizer: Authorizer,
): ResourceFactory {
  const { type } = factory;

  /** @throws {ResourceFailure} */
  function require(stackArn: string, needed: () => Permission[]): void {
    const principal = stacks.actor(stackArn);
    if (!principal) return;
    const region = stackArn.split(':')[3] ?? '';
    const refusal = HANDLER_PERMISSIONS[type]
      ? authorizer.refusesCall(principal, needed(), region)
      : `The permissions for ${type} are not known here: add them to infra/local/aws/services/cloudformation/handler-permissions.ts`;
    if (refusal === undefined) return;
    throw new ResourceFailure(
      `Resource handler returned message: "${refusal}" (HandlerErrorCode: AccessDenied)`,
    );
  }

  return {
    ...factory,
    async create(request, context) {
      require(request.stack.arn, () => HANDLER_PERMISSIONS[type]!.create(request));
      return factory.create(request, context);
    },
    async remove(resource: LocalResource, context: PlatformContext) {
      const { stack } = resource;
      require(stack, () => HANDLER_PERMISSIONS[type]!.remove(resource, stacks.resourcesOf(stack)));
      await factory.remove?.(resource, context);
    },
  };
}
