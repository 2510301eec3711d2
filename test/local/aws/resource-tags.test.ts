import {
  CloudFormationClient,
  CreateStackCommand,
  DescribeStackEventsCommand,
  DescribeStacksCommand,
} from '@aws-sdk/client-cloudformation';
import {
  DescribeDBClustersCommand,
  DescribeDBInstancesCommand,
  ModifyDBProxyCommand,
  RDSClient,
} from '@aws-sdk/client-rds';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type FixtureStack, role } from './assembly.ts';
import { roleArn } from './database-stack.ts';
import { type EndpointFixture, startEndpoint } from './endpoint-fixture.ts';

const ANY_PROXY = 'arn:aws:rds:us-east-1:000000000000:db-proxy:*';
const inTeam = (value: string) => ({ StringEquals: { 'aws:ResourceTag/team': value } });
const comingWith = (value: string) => ({ StringEquals: { 'aws:RequestTag/team': value } });

const proxy = (name: string, tags?: Record<string, string>) => ({
  Type: 'AWS::RDS::DBProxy',
  Properties: {
    DBProxyName: name,
    EngineFamily: 'POSTGRESQL',
    RoleArn: roleArn('ProxyRole'),
    VpcSubnetIds: ['subnet-1'],
    Auth: [{ AuthScheme: 'SECRETS', SecretArn: 'arn:first' }],
    ...(tags ? { Tags: Object.entries(tags).map(([Key, Value]) => ({ Key, Value })) } : {}),
  },
});

/** Proxies, a cluster and its instance with various tags, and roles whose rights go by them. */
const taggedStack: FixtureStack = {
  name: 'Tagged',
  resources: {
    Ours: proxy('ours', { team: 'a', other: 'b' }),
    Theirs: proxy('theirs', { team: 'b' }),
    Nobodys: proxy('nobodys'),
    Cluster: {
      Type: 'AWS::RDS::DBCluster',
      Properties: {
        DBClusterIdentifier: 'tagged',
        MasterUsername: 'strata_master',
        MasterUserPassword: 'not-a-secret',
        Tags: [{ Key: 'team', Value: 'a' }],
      },
    },
    Instance: {
      Type: 'AWS::RDS::DBInstance',
      DependsOn: ['Cluster'],
      Properties: {
        DBInstanceIdentifier: 'tagged-writer',
        DBClusterIdentifier: 'tagged',
        Tags: [{ Key: 'team', Value: 'b' }],
      },
    },
    ...role('ProxyRole', []),
    ...role('TeamA', [
      { Action: 'rds:ModifyDBProxy', Resource: ANY_PROXY, Condition: inTeam('a') },
      { Action: 'rds:DescribeDBClusters', Resource: '*', Condition: inTeam('a') },
      { Action: 'rds:DescribeDBInstances', Resource: '*', Condition: inTeam('a') },
    ]),
    ...role('TeamB', [{ Action: 'rds:DescribeDBInstances', Resource: '*', Condition: inTeam('b') }]),
    ...role('Creator', [
      { Action: 'iam:PassRole', Resource: roleArn('ProxyRole') },
      { Action: 'rds:DescribeDBProxies', Resource: '*' },
      { Action: 'rds:CreateDBProxy', Resource: '*', Condition: comingWith('a') },
      { Action: 'rds:AddTagsToResource', Resource: ANY_PROXY, Condition: comingWith('a') },
    ]),
    ...role('CreatorWithoutTags', [
      { Action: 'iam:PassRole', Resource: roleArn('ProxyRole') },
      { Action: ['rds:CreateDBProxy', 'rds:DescribeDBProxies'], Resource: '*' },
    ]),
  },
};

let fixture: EndpointFixture;
beforeAll(async () => {
  fixture = await startEndpoint([taggedStack]);
}, 60_000);
afterAll(() => fixture?.stop());

const denied = (action: string) => ({
  name: 'AccessDenied',
  message: expect.stringContaining(`is not authorized to perform: rds:${action} on resource: arn:aws:rds:`),
  $metadata: expect.objectContaining({ httpStatusCode: 403 }),
});

describe('a right that is bound to a tag', () => {
  test('reaches the proxy that has it, none that has another or none, and none that does not exist', async () => {
    const client = new RDSClient(fixture.client('TeamA'));
    const modify = (DBProxyName: string) =>
      client.send(
        new ModifyDBProxyCommand({ DBProxyName, Auth: [{ AuthScheme: 'SECRETS', SecretArn: 'arn:new' }] }),
      );
    expect((await modify('ours')).DBProxy!.Auth).toMatchObject([{ SecretArn: 'arn:new' }]);
    for (const name of ['theirs', 'nobodys', 'none']) {
      await expect(modify(name), name).rejects.toMatchObject(denied('ModifyDBProxy'));
    }
  });

  test('knows clusters and instances by their own tags, and all of a kind by none', async () => {
    const a = new RDSClient(fixture.client('TeamA'));
    const b = new RDSClient(fixture.client('TeamB'));
    const cluster = (DBClusterIdentifier?: string) =>
      a.send(new DescribeDBClustersCommand({ DBClusterIdentifier }));
    const instance = (client: RDSClient) =>
      client.send(new DescribeDBInstancesCommand({ DBInstanceIdentifier: 'tagged-writer' }));
    expect((await cluster('tagged')).DBClusters).toHaveLength(1);
    await expect(cluster()).rejects.toMatchObject(denied('DescribeDBClusters'));
    expect((await instance(b)).DBInstances).toHaveLength(1);
    await expect(instance(a)).rejects.toMatchObject(denied('DescribeDBInstances'));
  });
});

describe('a proxy that CloudFormation creates', () => {
  /** Why it failed; undefined when it stands. */
  async function creating(name: string, by: string, tags?: Record<string, string>) {
    const client = new CloudFormationClient(fixture.client());
    const TemplateBody = JSON.stringify({ Resources: { Proxy: proxy(name, tags) } });
    await client.send(new CreateStackCommand({ StackName: name, TemplateBody, RoleARN: roleArn(by) }));
    const status = async () =>
      (await client.send(new DescribeStacksCommand({ StackName: name }))).Stacks![0]!.StackStatus;
    await expect.poll(status, { timeout: 10_000, interval: 50 }).toMatch(/^(CREATE|ROLLBACK)_COMPLETE$/);
    const { StackEvents } = await client.send(new DescribeStackEventsCommand({ StackName: name }));
    return StackEvents!.find(
      ({ LogicalResourceId, ResourceStatus }) =>
        LogicalResourceId === 'Proxy' && ResourceStatus === 'CREATE_FAILED',
    )?.ResourceStatusReason;
  }

  test('needs the tag that its role’s right asks for', async () => {
    const refused = 'is not authorized to perform: rds:CreateDBProxy';
    expect(await creating('new-a', 'Creator', { team: 'a' })).toBeUndefined();
    expect(await creating('new-b', 'Creator', { team: 'b' })).toContain(refused);
    expect(await creating('new-none', 'Creator')).toContain(refused);
  });

  test('needs the right to tag when it comes with tags', async () => {
    expect(await creating('plain', 'CreatorWithoutTags')).toBeUndefined();
    expect(await creating('with-tags', 'CreatorWithoutTags', { team: 'a' })).toContain(
      'is not authorized to perform: rds:AddTagsToResource',
    );
  });
});
