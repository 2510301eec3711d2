import {
  CloudFormationClient,
  CreateStackCommand,
  DeleteStackCommand,
  DescribeStackEventsCommand,
  DescribeStacksCommand,
} from '@aws-sdk/client-cloudformation';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type FixtureStack, type PolicyStatement, ref, role } from './assembly.ts';
import { roleArn } from './database-stack.ts';
import { type EndpointFixture, startEndpoint } from './endpoint-fixture.ts';

const arn = (resource: string) => `arn:aws:rds:us-east-1:000000000000:${resource}`;
const allow = (Resource: unknown, ...names: string[]): PolicyStatement => ({
  Action: names.map((name) => `rds:${name}`),
  Resource,
});
const passProxyRole: PolicyStatement = { Action: 'iam:PassRole', Resource: roleArn('ProxyRole') };
const describeAll = allow('*', 'Describe*');

const makeProxies = [passProxyRole, describeAll, allow('*', 'CreateDBProxy')];
const fillTargetGroup = allow('*', 'ModifyDBProxyTargetGroup', 'RegisterDBProxyTargets');
const deregister = (...types: string[]) =>
  allow(
    types.map((type) => arn(`${type}:*`)),
    'DeregisterDBProxyTargets',
    'DeleteDBProxy',
  );
const createCluster = (...resources: string[]) => allow(resources.map(arn), 'CreateDBCluster');
const groups = allow(arn('cluster-pg:*'), 'CreateDBClusterParameterGroup', 'ModifyDBClusterParameterGroup');

/** Roles to launch stacks with; each lacks one thing that AWS asks for, or nothing. */
const rolesStack: FixtureStack = {
  name: 'Roles',
  resources: {
    ...role('ProxyRole', []),
    ...role('ProxyOnArn', [passProxyRole, describeAll, allow(arn('db-proxy:*'), 'CreateDBProxy')]),
    ...role('Deregisters', [
      ...makeProxies,
      fillTargetGroup,
      deregister('cluster', 'db', 'db-proxy', 'target-group'),
    ]),
    ...role('DeregistersAtNoProxy', [
      ...makeProxies,
      fillTargetGroup,
      deregister('cluster', 'db', 'target-group'),
      allow(arn('db-proxy:*'), 'DeleteDBProxy'),
    ]),
    ...role('ClusterWithoutOptionGroup', [
      describeAll,
      createCluster('cluster:*', 'cluster-pg:*', 'subgrp:*'),
    ]),
    ...role('ClusterWithoutSubnetGroup', [
      describeAll,
      createCluster('cluster:*', 'cluster-pg:*', 'og:default*'),
    ]),
    ...role('KeepsGroups', [describeAll, groups]),
    ...role('DeletesGroups', [
      describeAll,
      groups,
      allow(arn('cluster-pg:*'), 'DeleteDBClusterParameterGroup'),
    ]),
  },
};

let fixture: EndpointFixture;
let client: CloudFormationClient;
beforeAll(async () => {
  fixture = await startEndpoint([rolesStack]);
  client = new CloudFormationClient(fixture.client());
}, 60_000);
afterAll(() => fixture?.stop());

async function settled(StackName: string): Promise<string> {
  const status = async () =>
    String((await client.send(new DescribeStacksCommand({ StackName }))).Stacks![0]!.StackStatus);
  await expect.poll(status, { timeout: 10_000, interval: 50 }).not.toMatch(/IN_PROGRESS$/);
  return status();
}

/** The status that the stack ends in. */
async function create(name: string, by: string, Resources: Record<string, object>): Promise<string> {
  const TemplateBody = JSON.stringify({ Resources });
  await client.send(new CreateStackCommand({ StackName: name, TemplateBody, RoleARN: roleArn(by) }));
  return settled(name);
}

async function deleted(name: string): Promise<string> {
  const { Stacks } = await client.send(new DescribeStacksCommand({ StackName: name }));
  await client.send(new DeleteStackCommand({ StackName: name }));
  return settled(Stacks![0]!.StackId!);
}

async function reasonOf(StackName: string, status: 'CREATE_FAILED' | 'DELETE_FAILED') {
  const { StackEvents } = await client.send(new DescribeStackEventsCommand({ StackName }));
  const failed = StackEvents!.find(
    (event) => event.ResourceStatus === status && event.LogicalResourceId !== StackName,
  );
  return failed?.ResourceStatusReason;
}

const proxyWithTargets = (name: string) => ({
  Proxy: {
    Type: 'AWS::RDS::DBProxy',
    Properties: {
      DBProxyName: name,
      EngineFamily: 'POSTGRESQL',
      RoleArn: roleArn('ProxyRole'),
      VpcSubnetIds: ['subnet-1'],
      Auth: [{ AuthScheme: 'SECRETS', SecretArn: 'arn:first' }],
    },
  },
  Targets: {
    Type: 'AWS::RDS::DBProxyTargetGroup',
    Properties: {
      DBProxyName: ref('Proxy'),
      TargetGroupName: 'default',
      DBClusterIdentifiers: ['elsewhere'],
    },
  },
});
const cluster = {
  Cluster: {
    Type: 'AWS::RDS::DBCluster',
    Properties: { MasterUsername: 'strata_master', MasterUserPassword: 'not-a-secret' },
  },
};
const parameters = {
  Type: 'AWS::RDS::DBClusterParameterGroup',
  Properties: { DBClusterParameterGroupName: 'some', Family: 'aurora-postgresql17', Parameters: {} },
};

describe('a service role creates nothing', () => {
  test('with a right on an ARN where AWS authorizes the action on none', async () => {
    expect(await create('on-arn', 'ProxyOnArn', proxyWithTargets('on-arn'))).toBe('ROLLBACK_COMPLETE');
    expect(await reasonOf('on-arn', 'CREATE_FAILED')).toContain(
      'is not authorized to perform: rds:CreateDBProxy on resource: *',
    );
  });

  test.each([
    ['ClusterWithoutOptionGroup', 'og:default:aurora-postgresql-17'],
    ['ClusterWithoutSubnetGroup', 'subgrp:default'],
  ])('with rights that leave out one of the types that the action takes: %s', async (by, missing) => {
    expect(await create(by, by, cluster)).toBe('ROLLBACK_COMPLETE');
    expect(await reasonOf(by, 'CREATE_FAILED')).toContain(
      `is not authorized to perform: rds:CreateDBCluster on resource: ${arn(missing)}`,
    );
  });

  test('of a type whose handler is not known here', async () => {
    const topic = { Topic: { Type: 'AWS::SNS::Topic', Properties: {} } };
    expect(await create('topic', 'KeepsGroups', topic)).toBe('ROLLBACK_COMPLETE');
    expect(await reasonOf('topic', 'CREATE_FAILED')).toContain('handler-permissions.ts');
  });
});

describe('a service role deletes nothing', () => {
  test('without the right on each of the types that the action takes, also after a restart', async () => {
    for (const by of ['Deregisters', 'DeregistersAtNoProxy']) {
      expect(await create(by.toLowerCase(), by, proxyWithTargets(by.toLowerCase()))).toBe('CREATE_COMPLETE');
    }
    expect(await deleted('deregistersatnoproxy')).toBe('DELETE_FAILED');
    expect(await reasonOf('deregistersatnoproxy', 'DELETE_FAILED')).toContain(
      `is not authorized to perform: rds:DeregisterDBProxyTargets on resource: ${arn('db-proxy:prx-')}`,
    );
    await fixture.restart();
    client = new CloudFormationClient(fixture.client());
    expect(await deleted('deregistersatnoproxy')).toBe('DELETE_FAILED');
    expect(await deleted('deregisters')).toBe('DELETE_COMPLETE');
  });

  test('when the stack that it could not complete is rolled back', async () => {
    const failing = (name: string) => ({
      Parameters: {
        ...parameters,
        Properties: { ...parameters.Properties, DBClusterParameterGroupName: name },
      },
      Bad: { ...cluster.Cluster, DependsOn: ['Parameters'] },
    });
    expect(await create('kept', 'KeepsGroups', failing('kept'))).toBe('ROLLBACK_FAILED');
    expect(await reasonOf('kept', 'DELETE_FAILED')).toContain(
      `is not authorized to perform: rds:DeleteDBClusterParameterGroup on resource: ${arn('cluster-pg:kept')}`,
    );
    expect(await create('gone', 'DeletesGroups', failing('gone'))).toBe('ROLLBACK_COMPLETE');
  });
});
