import { beforeAll, expect, test } from 'vitest';
import {
  type DeployedStack,
  internals,
  type LocalResource,
  type Permission,
  type Statement as PolicyStatement,
} from '../../infra/local/index.ts';
import { allowStatements, listOf, text } from './iam-statements.ts';
import { type Assembly, sharedAssembly } from './synthesized-app.ts';

const { conditionContext, evaluate, HANDLER_PERMISSIONS } = await internals();

const ACCOUNT = '000000000000';
const STACK = `arn:aws:cloudformation:us-east-1:${ACCOUNT}:stack/strata-tenant-one/local`;

let world: Assembly;
let rights: readonly (PolicyStatement & { Sid?: string })[];
beforeAll(async () => {
  world = await sharedAssembly('default');
  rights = allowStatements(world.resources)
    .filter(({ where }) => where.includes('ServiceRoleRights'))
    .map(({ statement }) => ({
      ...(statement as unknown as PolicyStatement),
      Action: listOf(statement.Action).map(text),
      Resource: listOf(statement.Resource).map(resolved),
    }));
});

/** Values of parameters and references, as they would be at run time. */
function resolved(value: unknown): string {
  return text(value)
    .replaceAll('<AWS::AccountId>', ACCOUNT)
    .replaceAll('<TenantId>', 'one')
    .replaceAll('-<LaunchId>', '')
    .replace('<SecretName>', 'strata/tenant/one/tenant_one')
    .replace('<OwnerSecretName>', 'strata/dedicated/one/owner')
    .replace('<MasterSecretName>', 'strata/dedicated/one/master')
    .replace(/<ProxyRoleArn>|<Dedicated\w*ProxyRole\w*\.Arn>/, `arn:aws:iam::${ACCOUNT}:role/proxy`)
    .replace(/<KmsKeyArn>|<Strata-us-network:\w*Key\w*Arn\w*>/, `arn:aws:kms:us-east-1:${ACCOUNT}:key/one`)
    .replace(/^<(?:Database|Proxy)\w*>$/, 'strata-tenant-one');
}

function resolvedProperties(properties: Record<string, unknown>): Record<string, unknown> {
  return Object.fromEntries(
    Object.entries(properties).map(([name, value]) => {
      if (name === 'Tags')
        return [
          name,
          (value as object[]).map((tag) =>
            Object.fromEntries(Object.entries(tag).map(([key, one]) => [key, resolved(one)])),
          ),
        ];
      return [name, Array.isArray(value) ? value.map(resolved) : resolved(value)];
    }),
  );
}

/** The resources of a dedicated database, in the order of the template. */
function dedicatedResources(): LocalResource[] {
  return Object.entries(world.dedicated.template.Resources).map(([logicalId, { Type, Properties = {} }]) => {
    const properties = resolvedProperties(Properties);
    const name = `strata-tenant-one-${logicalId}`.toLowerCase();
    const named: Record<string, string> = {
      'AWS::RDS::DBCluster': 'strata-tenant-one',
      'AWS::RDS::DBProxy': String(properties.DBProxyName),
      'AWS::RDS::DBProxyEndpoint': String(properties.DBProxyEndpointName),
      'AWS::RDS::DBProxyTargetGroup': `arn:aws:rds:us-east-1:${ACCOUNT}:target-group:prx-tg-1`,
      'AWS::SecretsManager::Secret': `arn:aws:secretsmanager:us-east-1:${ACCOUNT}:secret:${properties.Name}-AbCdEf`,
      'AWS::Logs::LogGroup': String(properties.LogGroupName),
    };
    const attributes = {
      DBClusterArn: `arn:aws:rds:us-east-1:${ACCOUNT}:cluster:strata-tenant-one`,
      DBInstanceArn: `arn:aws:rds:us-east-1:${ACCOUNT}:db:${name}`,
      DBProxyArn: `arn:aws:rds:us-east-1:${ACCOUNT}:db-proxy:prx-1`,
      DBProxyEndpointArn: `arn:aws:rds:us-east-1:${ACCOUNT}:db-proxy-endpoint:prx-endpoint-1`,
      Arn: `arn:aws:cloudwatch:us-east-1:${ACCOUNT}:alarm:${name}`,
    };
    return { stack: STACK, logicalId, type: Type, properties, ref: named[Type] ?? name, attributes };
  });
}

/** What CloudFormation asks for, by resource: to create all of them, or to delete them. */
function needed(what: 'create' | 'remove'): [string, Permission[]][] {
  const resources = dedicatedResources();
  const stack = {
    name: 'strata-tenant-one',
    arn: STACK,
    region: 'us-east-1',
    template: { Resources: {} },
    outputs: {},
    parameters: {},
    resources: new Map(resources.map((one) => [one.logicalId, one])),
  } satisfies DeployedStack;
  return resources.map((resource) => {
    const { logicalId, type, properties } = resource;
    const handler = HANDLER_PERMISSIONS[type]!;
    const request = { stack, logicalId, type, properties, defaultName: `strata-tenant-one-${logicalId}` };
    return [logicalId, what === 'create' ? handler.create(request) : handler.remove(resource, resources)];
  });
}

/** Those of the permissions that the statements do not give, as `Resource: action on resource`. */
function denied(statements: typeof rights, permissions: [string, Permission[]][]): string[] {
  const identity = [{ Statement: [...statements] }];
  const roleArn = `arn:aws:iam::${ACCOUNT}:role/service`;
  return permissions.flatMap(([logicalId, ones]) =>
    ones
      .filter(({ action, resource, context }) => {
        const request = {
          roleArn,
          sessionArn: roleArn,
          action,
          resource,
          context: conditionContext(context),
        };
        return !evaluate(request, { identity }).allowed;
      })
      .map(({ action, resource }) => `${logicalId}: ${action} on ${resource}`),
  );
}

test.each(['create', 'remove'] as const)(
  'the service role may %s every resource of a dedicated database, and asks for it on every type of resource',
  (what) => {
    const permissions = needed(what);
    expect(permissions.length).toBeGreaterThan(10);
    expect(denied(rights, permissions)).toEqual([]);
  },
);

test('without any one of its statements the service role cannot launch a dedicated database and delete it', () => {
  const permissions = [...needed('create'), ...needed('remove')];
  for (const statement of rights) {
    const others = rights.filter((one) => one !== statement);
    expect(denied(others, permissions), `without ${statement.Sid}`).not.toEqual([]);
  }
});
