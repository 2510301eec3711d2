/** Point-in-time restore as the unmodified SDK sees it: clusters of real PostgreSQL servers, recovered from their archives. */
import {
  CreateDBInstanceCommand,
  type DBCluster,
  DeleteDBClusterCommand,
  DeleteDBInstanceCommand,
  DescribeDBClustersCommand,
  DescribeDBInstancesCommand,
  ModifyDBClusterCommand,
  RDSClient,
  RestoreDBClusterToPointInTimeCommand,
  type RestoreDBClusterToPointInTimeMessage,
} from '@aws-sdk/client-rds';
import type pg from 'pg';
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import { overConnection } from '../../../infra/local/index.ts';
import { att, ref, role } from './assembly.ts';
import { type EndpointFixture, startEndpoint } from './endpoint-fixture.ts';

const MASTER = { user: 'strata_master', password: 'master-password' };
const arn = (resource: string) => `arn:aws:rds:us-east-1:000000000000:${resource}`;
const RESTORE = 'rds:RestoreDBClusterToPointInTime';
const CREATE = 'rds:CreateDBInstance';
const onKey = { Action: ['kms:CreateGrant', 'kms:DescribeKey'], Resource: att('Key', 'Arn') };
const groups = [arn('cluster-pg:side'), arn('og:default:*'), arn('subgrp:isolated')];

let fixture: EndpointFixture;
let rds: RDSClient;

beforeAll(async () => {
  fixture = await startEndpoint(
    [
      {
        name: 'Data',
        resources: {
          Key: { Type: 'AWS::KMS::Key', Properties: { KeyPolicy: {} } },
          Subnets: {
            Type: 'AWS::RDS::DBSubnetGroup',
            Properties: { DBSubnetGroupName: 'isolated', SubnetIds: ['subnet-1'] },
          },
          Parameters: parameterGroup('cells', {
            'rds.logical_replication': '1',
            track_commit_timestamp: '1',
          }),
          SideParameters: parameterGroup('side', { max_logical_replication_workers: '0' }),
          Cell: {
            Type: 'AWS::RDS::DBCluster',
            Properties: {
              DBClusterIdentifier: 'cell',
              DatabaseName: 'strata',
              MasterUsername: MASTER.user,
              MasterUserPassword: MASTER.password,
              DBClusterParameterGroupName: ref('Parameters'),
              BackupRetentionPeriod: 14,
              StorageEncrypted: true,
              KmsKeyId: att('Key', 'Arn'),
            },
          },
          ...role('Restorer', [
            { Action: RESTORE, Resource: [arn('cluster:cell'), arn('cluster:side-*'), ...groups] },
            { Action: CREATE, Resource: [arn('db:side-*'), arn('cluster:side-*'), arn('og:*'), arn('pg:*')] },
            onKey,
          ]),
          ...role('WithoutSource', [
            { Action: RESTORE, Resource: [arn('cluster:side-*'), ...groups] },
            onKey,
          ]),
          ...role('WithoutGroup', [{ Action: RESTORE, Resource: arn('cluster:*') }, onKey]),
          ...role('WithoutKey', [{ Action: RESTORE, Resource: '*' }]),
        },
      },
    ],
    undefined,
    { pointInTimeRecovery: true },
  );
  connect();
  fixture.platform.markReady();
  await vi.waitUntil(async () => (await cluster('cell')).EarliestRestorableTime, POLL);
}, 120_000);
afterAll(() => fixture?.stop());

const POLL = { timeout: 60_000, interval: 50 };

function parameterGroup(name: string, Parameters: Record<string, string>) {
  return {
    Type: 'AWS::RDS::DBClusterParameterGroup',
    Properties: { DBClusterParameterGroupName: name, Family: 'aurora-postgresql17', Parameters },
  };
}

function connect(): void {
  rds = new RDSClient(fixture.client());
}

async function cluster(DBClusterIdentifier: string): Promise<DBCluster> {
  return (await rds.send(new DescribeDBClustersCommand({ DBClusterIdentifier }))).DBClusters![0]!;
}

function restore(
  identifier: string,
  change: Partial<RestoreDBClusterToPointInTimeMessage>,
  client = rds,
): Promise<unknown> {
  return client.send(
    new RestoreDBClusterToPointInTimeCommand({
      SourceDBClusterIdentifier: 'cell',
      DBClusterIdentifier: identifier,
      DBClusterParameterGroupName: 'side',
      DBSubnetGroupName: 'isolated',
      VpcSecurityGroupIds: ['sg-1'],
      ...change,
    }),
  );
}

const addInstance = (DBClusterIdentifier: string, client = rds) =>
  client.send(
    new CreateDBInstanceCommand({
      DBClusterIdentifier,
      DBInstanceIdentifier: `${DBClusterIdentifier}-writer`,
      DBInstanceClass: 'db.serverless',
      Engine: 'aurora-postgresql',
    }),
  );

const instanceStatus = async (DBInstanceIdentifier: string) =>
  (await rds.send(new DescribeDBInstancesCommand({ DBInstanceIdentifier }))).DBInstances![0]!
    .DBInstanceStatus;

/** Restores, and waits until the cluster serves. */
async function restored(
  identifier: string,
  change: Partial<RestoreDBClusterToPointInTimeMessage>,
): Promise<void> {
  await restore(identifier, change);
  await expect.poll(async () => (await cluster(identifier)).Status, POLL).toBe('available');
  await addInstance(identifier);
  await expect.poll(() => instanceStatus(`${identifier}-writer`), POLL).toBe('available');
}

async function remove(identifier: string): Promise<void> {
  await rds.send(new DeleteDBInstanceCommand({ DBInstanceIdentifier: `${identifier}-writer` }));
  await rds.send(new DeleteDBClusterCommand({ DBClusterIdentifier: identifier, SkipFinalSnapshot: true }));
  await expect
    .poll(() => cluster(identifier).catch((error: Error) => error.name), POLL)
    .toBe('DBClusterNotFoundFault');
}

/** As the master user, over the endpoint that the API tells. */
async function query<T extends pg.QueryResultRow>(
  identifier: string,
  sql: string,
  login = MASTER,
): Promise<T[]> {
  const { Endpoint, Port, DatabaseName } = await cluster(identifier);
  const ssl = { ca: fixture.platform.context.caCertificate };
  const connection = { host: Endpoint!, port: Port!, database: DatabaseName!, ...login, ssl };
  return overConnection(connection, async (client) => (await client.query<T>(sql)).rows);
}

/** Writes into a neighbour's schema without a pause, until it is stopped; @returns how many writes were acknowledged. */
async function neighbour(): Promise<{ stop(): Promise<number> }> {
  await query('cell', 'CREATE SCHEMA neighbour CREATE TABLE writes (n int PRIMARY KEY)');
  let isStopped = false;
  let count = 0;
  const writing = (async () => {
    const { Port } = await cluster('cell');
    const ssl = { ca: fixture.platform.context.caCertificate };
    const connection = { host: '127.0.0.1', port: Port!, database: 'strata', ...MASTER, ssl };
    await overConnection(connection, async (client) => {
      while (!isStopped) {
        await client.query('INSERT INTO neighbour.writes VALUES ($1)', [count]);
        count += 1;
      }
    });
  })();
  return {
    async stop() {
      isStopped = true;
      await writing;
      return count;
    },
  };
}

/** @returns a time at which the write was acknowledged, and before which nothing later was committed */
async function write(value: string): Promise<Date> {
  await query('cell', `INSERT INTO tenant.kept VALUES ('${value}')`);
  const time = new Date();
  // What follows is committed in a later millisecond.
  while (Date.now() <= time.getTime());
  return time;
}

test('a restore between two of three writes brings back exactly the first two, while a neighbour keeps writing', async () => {
  await query('cell', 'CREATE SCHEMA tenant CREATE TABLE kept (value text)');
  const writing = await neighbour();
  await expect.poll(() => query('cell', 'SELECT FROM neighbour.writes LIMIT 1')).toHaveLength(1);
  await write('first');
  const second = await write('second');
  await write('third');
  await restored('side-between', { RestoreToTime: second });
  expect(await query('side-between', 'SELECT value FROM tenant.kept')).toEqual([
    { value: 'first' },
    { value: 'second' },
  ]);
  // What another one had replicated to the source, the copy must not fetch.
  expect(await query('side-between', 'SHOW max_logical_replication_workers')).toEqual([
    { max_logical_replication_workers: '0' },
  ]);
  const acknowledged = await writing.stop();
  const [{ count: copied } = { count: '' }] = await query<{ count: string }>(
    'side-between',
    'SELECT count(*) FROM neighbour.writes',
  );
  expect(Number(copied)).toBeGreaterThan(0);
  expect(Number(copied)).toBeLessThan(acknowledged);
  expect(await query('cell', 'SELECT count(*)::int, max(n) FROM neighbour.writes')).toEqual([
    { count: acknowledged, max: acknowledged - 1 },
  ]);
  expect(await query('cell', 'SELECT value FROM tenant.kept')).toHaveLength(3);
});

test('a restored cluster is described as it was asked for, and outlives a restart of the platform', async () => {
  const before = await cluster('side-between');
  expect(before).toMatchObject({
    Status: 'available',
    Engine: 'aurora-postgresql',
    DatabaseName: 'strata',
    MasterUsername: MASTER.user,
    DBClusterParameterGroup: 'side',
    DBSubnetGroup: 'isolated',
    VpcSecurityGroups: [{ VpcSecurityGroupId: 'sg-1', Status: 'active' }],
    StorageEncrypted: true,
    BackupRetentionPeriod: 14,
    DeletionProtection: false,
    DBClusterMembers: [{ DBInstanceIdentifier: 'side-between-writer', IsClusterWriter: true }],
  });
  const source = await cluster('cell');
  expect(before.Port).not.toBe(source.Port);
  expect(before.KmsKeyId).toBe(source.KmsKeyId);
  expect(before.DbClusterResourceId).not.toBe(source.DbClusterResourceId);
  await fixture.restart();
  connect();
  await expect.poll(() => instanceStatus('side-between-writer'), POLL).toBe('available');
  expect(await query('side-between', 'SELECT value FROM tenant.kept')).toHaveLength(2);
});

test('without an instance it serves nobody, and it is deleted in AWS’s order', async () => {
  const { Port } = await cluster('side-between');
  await expect(
    rds.send(new DeleteDBClusterCommand({ DBClusterIdentifier: 'side-between', SkipFinalSnapshot: true })),
  ).rejects.toMatchObject({ name: 'InvalidDBClusterStateFault' });
  await rds.send(new DeleteDBInstanceCommand({ DBInstanceIdentifier: 'side-between-writer' }));
  const refused = () => query('side-between', 'SELECT 1').catch((error: { code?: string }) => error.code);
  await expect.poll(refused, POLL).toBe('ECONNREFUSED');
  expect(await cluster('side-between')).toMatchObject({ Status: 'available', Port });
  await fixture.restart();
  connect();
  expect(await refused()).toBe('ECONNREFUSED');
  // Its master user has the source's password until it is given another one.
  await rds.send(
    new ModifyDBClusterCommand({
      DBClusterIdentifier: 'side-between',
      MasterUserPassword: 'another-password',
    }),
  );
  await addInstance('side-between');
  await expect.poll(() => instanceStatus('side-between-writer'), POLL).toBe('available');
  await expect(query('side-between', 'SELECT 1')).rejects.toThrow('password authentication failed');
  const login = { ...MASTER, password: 'another-password' };
  expect(await query('side-between', 'SELECT value FROM tenant.kept', login)).toHaveLength(2);
  await remove('side-between');
});

test('the latest restorable time has everything that was acknowledged before the call', async () => {
  fixture.platform.markReady();
  await write('fourth');
  await restored('side-latest', { UseLatestRestorableTime: true, DBClusterParameterGroupName: undefined });
  expect(await query('side-latest', 'SELECT value FROM tenant.kept')).toHaveLength(4);
  await remove('side-latest');
});

test('a time means its whole millisecond: a clock that is read after a commit may still show the one before', async () => {
  await write('in a millisecond');
  const [commit] = await query<{ at: number }>(
    'cell',
    `SELECT floor(extract(epoch FROM pg_xact_commit_timestamp(xmin)) * 1000)::float8 AS at
     FROM tenant.kept WHERE value = 'in a millisecond'`,
  );
  const count = async (identifier: string, at: number) => {
    await restored(identifier, { RestoreToTime: new Date(at) });
    const rows = await query(identifier, "SELECT 1 FROM tenant.kept WHERE value = 'in a millisecond'");
    await remove(identifier);
    return rows.length;
  };
  expect(await count('side-in', commit!.at)).toBe(1);
  expect(await count('side-before', commit!.at - 1)).toBe(0);
});

describe('a restore is refused by name', () => {
  const denied = { name: 'AccessDenied' };
  const refused = (name: string, change: Partial<RestoreDBClusterToPointInTimeMessage>) =>
    expect(restore('side-refused', { UseLatestRestorableTime: true, ...change })).rejects.toMatchObject({
      name,
    });
  const at = (RestoreToTime: Date) => ({ UseLatestRestorableTime: undefined, RestoreToTime });

  test('for a time outside of the window, which the refusal tells', async () => {
    const { EarliestRestorableTime, LatestRestorableTime } = await cluster('cell');
    await refused('InvalidParameterValue', at(new Date(EarliestRestorableTime!.getTime() - 1)));
    await refused('InvalidParameterValue', at(new Date(LatestRestorableTime!.getTime() + 60_000)));
    await expect(restore('side-refused', { RestoreToTime: new Date(0) })).rejects.toThrow(
      `or earlier than ${EarliestRestorableTime!.toISOString()}`,
    );
  });

  test('for names that do not exist or are taken, and for times that contradict', async () => {
    await refused('DBClusterNotFoundFault', { SourceDBClusterIdentifier: 'none' });
    await refused('DBClusterAlreadyExistsFault', { DBClusterIdentifier: 'Cell' });
    await refused('DBClusterParameterGroupNotFoundFault', { DBClusterParameterGroupName: 'none' });
    await refused('DBSubnetGroupNotFoundFault', { DBSubnetGroupName: 'none' });
    await refused('InvalidParameterCombination', { RestoreToTime: new Date() });
    await refused('InvalidParameterCombination', { UseLatestRestorableTime: undefined });
    await refused('InvalidParameterCombination', { EnablePerformanceInsights: false });
    await refused('InvalidParameterValue', { DBClusterIdentifier: 'side--refused' });
  });

  test('to a role that lacks the right on the source, on a group, or on the key', async () => {
    for (const name of ['WithoutSource', 'WithoutGroup', 'WithoutKey']) {
      const client = new RDSClient(fixture.client(name));
      await expect(restore('side-denied', { UseLatestRestorableTime: true }, client)).rejects.toMatchObject(
        denied,
      );
    }
    const restorer = new RDSClient(fixture.client('Restorer'));
    await expect(restore('other', { UseLatestRestorableTime: true }, restorer)).rejects.toMatchObject(denied);
    await expect(
      restore('side-tagged', { UseLatestRestorableTime: true, Tags: [{ Key: 'a', Value: 'b' }] }, restorer),
    ).rejects.toThrow('rds:AddTagsToResource');
    await expect(addInstance('cell', restorer)).rejects.toMatchObject(denied);
    await restore('side-allowed', { UseLatestRestorableTime: true }, restorer);
    await expect(addInstance('side-allowed', restorer)).rejects.toMatchObject({
      name: 'InvalidDBClusterStateFault',
    });
    await expect(
      rds.send(new DeleteDBClusterCommand({ DBClusterIdentifier: 'side-allowed', SkipFinalSnapshot: true })),
    ).rejects.toMatchObject({ name: 'InvalidDBClusterStateFault' });
    await expect.poll(async () => (await cluster('side-allowed')).Status, POLL).toBe('available');
    await addInstance('side-allowed', restorer);
    await remove('side-allowed');
  });
});
