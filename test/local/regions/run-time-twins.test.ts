import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import {
  type CloudFormationClient,
  CreateStackCommand,
  DeleteStackCommand,
  DescribeStacksCommand,
} from '@aws-sdk/client-cloudformation';
import { DescribeDBClustersCommand, DescribeDBProxyTargetsCommand } from '@aws-sdk/client-rds';
import { ExecuteStatementCommand } from '@aws-sdk/client-rds-data';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { att, ref, TEMPLATE_URL } from '../aws/assembly.ts';
import { databaseTemplate } from '../aws/database-stack.ts';
import { EU, US } from './twin-stacks.ts';
import { clientsOf, startTwins, type TwoRegions } from './two-regions.ts';

const NAME = 'strata-tenant-one';

/** A tenant's database with its own parameter group, instance and proxy, all called as the tenant. */
const template = {
  ...databaseTemplate,
  Parameters: { ...databaseTemplate.Parameters, WorkMem: { Type: 'String' } },
  Resources: {
    ...databaseTemplate.Resources,
    Secret: { ...databaseTemplate.Resources.Secret, DeletionPolicy: 'Delete' },
    Group: {
      Type: 'AWS::RDS::DBClusterParameterGroup',
      Properties: {
        DBClusterParameterGroupName: ref('Identifier'),
        Family: 'aurora-postgresql17',
        Parameters: { work_mem: ref('WorkMem') },
      },
    },
    Cluster: {
      ...databaseTemplate.Resources.Cluster,
      Properties: {
        ...databaseTemplate.Resources.Cluster.Properties,
        DBClusterParameterGroupName: ref('Group'),
      },
    },
    Instance: {
      Type: 'AWS::RDS::DBInstance',
      Properties: { DBInstanceIdentifier: ref('Identifier'), DBClusterIdentifier: ref('Cluster') },
    },
    Targets: {
      Type: 'AWS::RDS::DBProxyTargetGroup',
      Properties: { DBProxyName: ref('Proxy'), DBClusterIdentifiers: [ref('Cluster')] },
    },
  },
  Outputs: { ...databaseTemplate.Outputs, Instance: { Value: att('Instance', 'DBInstanceArn') } },
};

let twins: TwoRegions;
beforeAll(async () => {
  twins = await startTwins([US, EU], template);
});
afterAll(() => twins?.stop());

const keys = ['us', 'eu'] as const;
type Key = (typeof keys)[number];
const regions = { us: US, eu: EU };
const directories = () => readdirSync(join(twins.fixture.stateDir, 'postgres')).sort();

async function create(key: Key): Promise<string> {
  const client = clientsOf(twins).cloudFormation[key];
  const given = {
    Identifier: NAME,
    SecretName: `${NAME}/master`,
    ProxyRoleArn: twins.outputs(regions[key]).Role,
    WorkMem: key === 'us' ? '5MB' : '6MB',
  };
  const { StackId } = await client.send(
    new CreateStackCommand({
      StackName: NAME,
      TemplateURL: TEMPLATE_URL.replaceAll(US, regions[key]),
      Parameters: Object.entries(given).map(([ParameterKey, ParameterValue]) => ({
        ParameterKey,
        ParameterValue,
      })),
    }),
  );
  expect((await settled(client, StackId!)).StackStatus).toBe('CREATE_COMPLETE');
  return StackId!;
}

async function settled(client: CloudFormationClient, StackName: string) {
  const describe = async () => (await client.send(new DescribeStacksCommand({ StackName }))).Stacks![0]!;
  await expect
    .poll(async () => (await describe()).StackStatus, { timeout: 30_000, interval: 20 })
    .not.toMatch(/IN_PROGRESS$/);
  return describe();
}

async function query(key: Key, sql: string, where: Key = key): Promise<unknown> {
  const clients = clientsOf(twins);
  const { Outputs = [] } = await settled(clients.cloudFormation[key], NAME);
  const output = (name: string) => Outputs.find(({ OutputKey }) => OutputKey === name)?.OutputValue;
  const statement = { resourceArn: output('ClusterArn'), secretArn: output('SecretArn'), database: 'strata' };
  const { records } = await clients.rdsData[where].send(new ExecuteStatementCommand({ ...statement, sql }));
  return records?.[0]?.[0];
}

test('run-time stacks of one name stand in two regions, each with a server of its own', async () => {
  await Promise.all(keys.map(create));
  for (const key of keys) {
    await query(key, 'CREATE TABLE place (name text)');
    await query(key, `INSERT INTO place VALUES ('${key}')`);
  }
  expect(directories()).toHaveLength(2);
  expect(directories()).toContain(NAME);
  for (const key of keys) {
    expect(await query(key, 'SELECT name FROM place')).toEqual({ stringValue: key });
    expect(await query(key, "SELECT current_setting('work_mem')")).toEqual({
      stringValue: key === 'us' ? '5MB' : '6MB',
    });
    const { Targets = [] } = await clientsOf(twins).rds[key].send(
      new DescribeDBProxyTargetsCommand({ DBProxyName: NAME }),
    );
    const cluster = twins.fixture.platform.context.clusters.byArn(
      `arn:aws:rds:${regions[key]}:000000000000:cluster:${NAME}`,
    );
    expect(new Set(Targets.map(({ Port }) => Port))).toEqual(new Set([cluster!.port]));
  }
  await expect(query('us', 'SELECT 1', 'eu')).rejects.toMatchObject({ name: 'NotFoundException' });
});

test('a start without a region keeps its databases for the start that has it again', async () => {
  const endpoint = twins.fixture.platform.apiUrls.get(EU);
  await twins.restart([US]);
  expect([...twins.fixture.platform.apiUrls.keys()]).toEqual([US]);
  expect(await query('us', 'SELECT name FROM place')).toEqual({ stringValue: 'us' });
  await twins.restart([US, EU]);
  expect(twins.fixture.platform.apiUrls.get(EU)).toBe(endpoint);
  for (const key of keys) expect(await query(key, 'SELECT name FROM place')).toEqual({ stringValue: key });
});

test('deleting one of them leaves the other one alone, and its name may be used again', async () => {
  const clients = clientsOf(twins);
  const { StackId } = await settled(clients.cloudFormation.us, NAME);
  await clients.cloudFormation.us.send(new DeleteStackCommand({ StackName: NAME }));
  expect((await settled(clients.cloudFormation.us, StackId!)).StackStatus).toBe('DELETE_COMPLETE');
  expect(directories()).toHaveLength(1);
  expect(await query('eu', 'SELECT name FROM place')).toEqual({ stringValue: 'eu' });
  const { DBClusters } = await clients.rds.eu.send(
    new DescribeDBClustersCommand({ DBClusterIdentifier: NAME }),
  );
  expect(DBClusters![0]!.DBClusterMembers).toMatchObject([{ DBInstanceIdentifier: NAME }]);
  await create('us');
  expect(await query('us', "SELECT to_regclass('place') IS NULL")).toEqual({ booleanValue: true });
  expect(existsSync(join(twins.fixture.stateDir, 'postgres', NAME))).toBe(true);
});
