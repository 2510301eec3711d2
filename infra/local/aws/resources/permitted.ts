import { LOCAL_ACCOUNT, type ResourceFactory, type ResourceRequest } from '../../model.ts';
import { ResourceFailure } from '../errors.ts';
import { Input } from '../input.ts';
import type { Permission, Principal } from '../service.ts';
import { requestTags, tagsOf } from '../tags.ts';

/** Why a principal may not; undefined when it may. */
export type Refuses = (principal: Principal, permission: Permission, region: string) => string | undefined;

/**
 * Lets CloudFormation make a resource only if the role it acts with may, with the main permissions that AWS's own
 * resource handler needs. The assembly's stacks are deployed by an administrator, so nothing is asked for them.
 */
export function permitted(
  factory: ResourceFactory,
  actor: (stackArn: string) => Principal | undefined,
  refuses: Refuses,
): ResourceFactory {
  return {
    ...factory,
    async create(request, context) {
      const principal = actor(request.stack.arn);
      const needed = principal ? (CREATE_PERMISSIONS[factory.type]?.(request) ?? []) : [];
      for (const permission of needed) {
        const refusal = refuses(principal!, permission, request.stack.region);
        if (refusal === undefined) continue;
        throw new ResourceFailure(
          `Resource handler returned message: "${refusal}" (HandlerErrorCode: AccessDenied)`,
        );
      }
      return factory.create(request, context);
    },
  };
}

const CREATE_PERMISSIONS: Record<string, (request: ResourceRequest) => Permission[]> = {
  'AWS::SecretsManager::Secret': ({ stack, properties, defaultName }) => {
    const name = String(properties.Name ?? defaultName);
    const resource = `arn:aws:secretsmanager:${stack.region}:${LOCAL_ACCOUNT}:secret:${name}-??????`;
    const context = { 'secretsmanager:Name': name };
    const permissions: Permission[] = [
      { action: 'secretsmanager:CreateSecret', resource, context },
      { action: 'secretsmanager:TagResource', resource, context },
    ];
    if (properties.GenerateSecretString) {
      permissions.push({ action: 'secretsmanager:GetRandomPassword', resource: '*' });
    }
    return permissions;
  },
  'AWS::RDS::DBSubnetGroup': (request) =>
    creating(request, 'CreateDBSubnetGroup', named(request, 'subgrp', 'DBSubnetGroupName')),
  'AWS::RDS::DBClusterParameterGroup': (request) =>
    creating(
      request,
      'CreateDBClusterParameterGroup',
      named(request, 'cluster-pg', 'DBClusterParameterGroupName'),
    ),
  'AWS::RDS::DBCluster': (request) =>
    creating(request, 'CreateDBCluster', named(request, 'cluster', 'DBClusterIdentifier')),
  'AWS::RDS::DBInstance': (request) =>
    creating(request, 'CreateDBInstance', named(request, 'db', 'DBInstanceIdentifier')),
  'AWS::RDS::DBProxy': (request) => [
    ...creating(request, 'CreateDBProxy', arn(request, 'db-proxy', '*')),
    {
      action: 'iam:PassRole',
      resource: String(request.properties.RoleArn),
      context: { 'iam:PassedToService': 'rds.amazonaws.com' },
    },
  ],
  // RDS made it with its proxy; nothing says that the proxy's tags went to it.
  'AWS::RDS::DBProxyTargetGroup': (request) => {
    const resource = arn(request, 'target-group', '*');
    return [
      { action: 'rds:ModifyDBProxyTargetGroup', resource },
      { action: 'rds:RegisterDBProxyTargets', resource },
      ...tagging(request, resource),
    ];
  },
};

/** What is created has no tags yet that a policy could ask for; those of the request count. */
function creating(request: ResourceRequest, action: string, resource: string): Permission[] {
  const context = requestTags(tagsOf(new Input(request.properties)));
  return [{ action: `rds:${action}`, resource, context }, ...tagging(request, resource)];
}

/** RDS asks for this right as well when tags come along. */
function tagging({ properties }: ResourceRequest, resource: string): Permission[] {
  const tags = tagsOf(new Input(properties));
  return tags.length === 0 ? [] : [{ action: 'rds:AddTagsToResource', resource, context: requestTags(tags) }];
}

function named(request: ResourceRequest, kind: string, nameProperty: string): string {
  return arn(request, kind, String(request.properties[nameProperty] ?? request.defaultName).toLowerCase());
}

function arn({ stack }: ResourceRequest, kind: string, name: string): string {
  return `arn:aws:rds:${stack.region}:${LOCAL_ACCOUNT}:${kind}:${name}`;
}
