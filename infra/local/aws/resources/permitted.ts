import { LOCAL_ACCOUNT, type ResourceFactory, type ResourceRequest } from '../../model.ts';
import { ResourceFailure } from '../errors.ts';
import type { Permission, Principal } from '../service.ts';

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
  'AWS::RDS::DBSubnetGroup': (request) => [
    rds(request, 'CreateDBSubnetGroup', 'subgrp', 'DBSubnetGroupName'),
  ],
  'AWS::RDS::DBClusterParameterGroup': (request) => [
    rds(request, 'CreateDBClusterParameterGroup', 'cluster-pg', 'DBClusterParameterGroupName'),
  ],
  'AWS::RDS::DBCluster': (request) => [rds(request, 'CreateDBCluster', 'cluster', 'DBClusterIdentifier')],
  'AWS::RDS::DBInstance': (request) => [rds(request, 'CreateDBInstance', 'db', 'DBInstanceIdentifier')],
  'AWS::RDS::DBProxy': (request) => [
    {
      action: 'rds:CreateDBProxy',
      resource: `arn:aws:rds:${request.stack.region}:${LOCAL_ACCOUNT}:db-proxy:*`,
    },
    {
      action: 'iam:PassRole',
      resource: String(request.properties.RoleArn),
      context: { 'iam:PassedToService': 'rds.amazonaws.com' },
    },
  ],
  'AWS::RDS::DBProxyTargetGroup': ({ stack }) => [
    {
      action: 'rds:RegisterDBProxyTargets',
      resource: `arn:aws:rds:${stack.region}:${LOCAL_ACCOUNT}:target-group:*`,
    },
  ],
};

function rds(
  { stack, properties, defaultName }: ResourceRequest,
  action: string,
  kind: string,
  nameProperty: string,
): Permission {
  const name = String(properties[nameProperty] ?? defaultName).toLowerCase();
  return {
    action: `rds:${action}`,
    resource: `arn:aws:rds:${stack.region}:${LOCAL_ACCOUNT}:${kind}:${name}`,
  };
}
