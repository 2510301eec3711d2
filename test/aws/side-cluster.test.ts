/** Side clusters of the local platform, driven by a role that has the rights it needs and no others. */
import { readdirSync, renameSync } from 'node:fs';
import { join } from 'node:path';
import { DescribeDBClustersCommand, RDSClient } from '@aws-sdk/client-rds';
import { afterAll, beforeAll, beforeEach, describe, expect, test, vi } from 'vitest';
import {
  driveSideCluster,
  removeSideCluster,
  type SideClusterAddress,
  type SideClusterLaunch,
  setSideMasterPassword,
} from '../../functions/aws/side-cluster.ts';
import { overConnection } from '../../infra/local/index.ts';
import { att, ref, role } from '../local/aws/assembly.ts';
import { type EndpointFixture, startEndpoint } from '../local/aws/endpoint-fixture.ts';
import { type AwsRelay, startAwsRelay } from '../onboarding/aws-relay.ts';

const MASTER = { user: 'strata_master', password: 'master-password' };
const POLL = { timeout: 60_000, interval: 20 };
const arn = (resource: string) => `arn:aws:rds:us-east-1:000000000000:${resource}`;
const tagged = (key: string) => ({ StringEquals: { [`aws:${key}/strata:component`]: 'side-cluster' } });

let fixture: EndpointFixture;
/** Between this process and AWS. */
let relay: AwsRelay;
let rds: RDSClient;
/** A time between the first write and the second one. */
let between: Date;

const parameterGroup = (name: string, Parameters: Record<string, string>) => ({
  Type: 'AWS::RDS::DBClusterParameterGroup',
  Properties: { DBClusterParameterGroupName: name, Family: 'aurora-postgresql17', Parameters },
});

const databaseCluster = (DBClusterIdentifier: string) => ({
  Type: 'AWS::RDS::DBCluster',
  Properties: {
    DBClusterIdentifier,
    DatabaseName: 'strata',
    MasterUsername: MASTER.user,
    MasterUserPassword: MASTER.password,
    DBClusterParameterGroupName: ref('Parameters'),
    BackupRetentionPeriod: 14,
    StorageEncrypted: true,
    KmsKeyId: att('Key', 'Arn'),
  },
});

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
          Parameters: parameterGroup('cells', { 'rds.logical_replication': '1' }),
          SideParameters: parameterGroup('side', {
            'rds.logical_replication': '1',
            max_logical_replication_workers: '0',
          }),
          Cell: databaseCluster('cell'),
          Publisher: databaseCluster('publisher'),
          ...role('Restorer', [
            { Action: ['rds:DescribeDBClusters', 'rds:DescribeDBInstances'], Resource: '*' },
            {
              Action: 'rds:RestoreDBClusterToPointInTime',
              Resource: [arn('cluster:cell'), arn('cluster-pg:side'), arn('og:*'), arn('subgrp:isolated')],
            },
            {
              Action: ['rds:RestoreDBClusterToPointInTime', 'rds:CreateDBInstance', 'rds:AddTagsToResource'],
              Resource: [arn('cluster:*'), arn('db:*')],
              Condition: tagged('RequestTag'),
            },
            { Action: 'rds:CreateDBInstance', Resource: [arn('og:*'), arn('pg:*')] },
            {
              Action: ['rds:DeleteDBCluster', 'rds:DeleteDBInstance', 'rds:ModifyDBCluster'],
              Resource: [arn('cluster:*'), arn('db:*')],
              Condition: tagged('ResourceTag'),
            },
            // RDS asks for it also where no snapshot is taken.
            { Action: 'rds:DeleteDBCluster', Resource: arn('cluster-snapshot:*') },
            { Action: ['kms:CreateGrant', 'kms:DescribeKey'], Resource: att('Key', 'Arn') },
          ]),
        },
      },
    ],
    undefined,
    { pointInTimeRecovery: true, waitScale: 0.05 },
  );
  relay = await startAwsRelay(fixture.platform.awsUrl);
  rds = new RDSClient(fixture.client());
  const { credentials } = fixture.client('Restorer');
  process.env.AWS_ENDPOINT_URL = relay.url;
  process.env.AWS_REGION = 'us-east-1';
  process.env.AWS_ACCESS_KEY_ID = credentials.accessKeyId;
  process.env.AWS_SECRET_ACCESS_KEY = credentials.secretAccessKey;
  fixture.platform.markReady();
  await vi.waitUntil(async () => (await cluster('cell')).EarliestRestorableTime, POLL);
  const cell = await addressOf('cell');
  await query(cell, "CREATE TABLE kept (value text); INSERT INTO kept VALUES ('first')");
  between = new Date();
  while (Date.now() <= between.getTime());
  await query(cell, "INSERT INTO kept VALUES ('second')");
});
beforeEach(() => {
  relay.fate = () => 'passed';
});
afterAll(async () => {
  await relay?.stop();
  await fixture?.stop();
});

const launchOf = (identifier: string, change: Partial<SideClusterLaunch> = {}): SideClusterLaunch => ({
  identifier,
  source: 'cell',
  at: between,
  subnetGroup: 'isolated',
  securityGroupIds: ['sg-side'],
  parameterGroup: 'side',
  instanceClass: 'db.serverless',
  capacity: { min: 0.5, max: 4 },
  ...change,
});

async function cluster(DBClusterIdentifier: string) {
  return (await rds.send(new DescribeDBClustersCommand({ DBClusterIdentifier }))).DBClusters![0]!;
}

async function addressOf(identifier: string) {
  const { Endpoint, Port } = await cluster(identifier);
  return { host: Endpoint!, port: Port! };
}

async function query(address: Pick<SideClusterAddress, 'host' | 'port'>, sql: string, login = MASTER) {
  const { host, port } = address;
  const ssl = { ca: fixture.platform.context.caCertificate };
  const connection = { host, port, database: 'strata', ...login, ssl };
  return overConnection(
    connection,
    async (client) => (await client.query<Record<string, unknown>>(sql)).rows,
  );
}

/** Of each operation that changes something, the first answer does not arrive. @returns the operations that were lost. */
function loseFirstAnswers(): Set<string> {
  const lost = new Set<string>();
  relay.fate = (operation) => {
    if (operation.startsWith('Describe') || lost.has(operation)) return 'passed';
    lost.add(operation);
    return 'lost';
  };
  return lost;
}

/** Drives it as a workflow does. @returns where it serves, and the phases that were seen. @throws what a call throws */
async function driven(launch: SideClusterLaunch): Promise<{ address: SideClusterAddress; phases: string[] }> {
  const phases: string[] = [];
  const address = await vi.waitUntil(async () => {
    const progress = await driveSideCluster(launch);
    if (progress.phase !== phases.at(-1)) phases.push(progress.phase);
    return progress.phase === 'ready' && progress.address;
  }, POLL);
  return { address, phases };
}

/** Removes it as a workflow does. @throws what a call throws */
const removed = (identifier: string) => vi.waitUntil(() => removeSideCluster({ identifier }), POLL);

describe('a side cluster', () => {
  test('has what its source had at that time, though the answer to each call was lost once', async () => {
    const lost = loseFirstAnswers();
    const launch = launchOf('side-one', { tags: { 'strata:tenant-id': 'a tenant' } });
    const { address, phases } = await driven(launch);
    expect([...lost].sort()).toEqual(['CreateDBInstance', 'RestoreDBClusterToPointInTime']);
    expect(phases).toEqual(['restoring', 'starting', 'ready']);
    expect(await query(address, 'SELECT value FROM kept')).toEqual([{ value: 'first' }]);
    expect(await query(address, 'SHOW max_logical_replication_workers')).toEqual([
      { max_logical_replication_workers: '0' },
    ]);
    expect(address).toMatchObject({ database: 'strata', masterUsername: MASTER.user });
    expect(await cluster('side-one')).toMatchObject({
      DBSubnetGroup: 'isolated',
      DBClusterParameterGroup: 'side',
      VpcSecurityGroups: [{ VpcSecurityGroupId: 'sg-side' }],
      BackupRetentionPeriod: 1,
      DBClusterMembers: [{ DBInstanceIdentifier: 'side-one-writer' }],
      TagList: expect.arrayContaining([
        { Key: 'strata:tenant-id', Value: 'a tenant' },
        { Key: 'strata:restored-to', Value: between.toISOString() },
      ]),
    });
    expect(await driveSideCluster(launch)).toEqual({ phase: 'ready', address });
  });

  test('gets a password of its own, and keeps the source’s out', async () => {
    const { address } = await driven(launchOf('side-one', { tags: { 'strata:tenant-id': 'a tenant' } }));
    await setSideMasterPassword({ identifier: 'side-one' }, 'password-of-side');
    const login = { ...MASTER, password: 'password-of-side' };
    expect(await query(address, 'SELECT value FROM kept', login)).toHaveLength(1);
    await expect(query(address, 'SELECT 1')).rejects.toThrow('password authentication failed');
  });

  test('is not mistaken for one of another time, source or kind, nor another cluster for it', async () => {
    const taken = { name: 'SideClusterTaken' };
    const later = new Date(between.getTime() + 1);
    await expect(driveSideCluster(launchOf('side-one', { at: later }))).rejects.toMatchObject(taken);
    await expect(driveSideCluster(launchOf('side-one', { source: 'other' }))).rejects.toMatchObject(taken);
    await expect(driveSideCluster(launchOf('cell'))).rejects.toMatchObject(taken);
    await expect(removeSideCluster({ identifier: 'cell' })).rejects.toMatchObject(taken);
    await expect(setSideMasterPassword({ identifier: 'cell' }, 'another-password')).rejects.toMatchObject(
      taken,
    );
    expect((await cluster('cell')).Status).toBe('available');
  });

  test('is deleted whole, though the answer to each call was lost once, and again without complaint', async () => {
    const lost = loseFirstAnswers();
    await removed('side-one');
    expect([...lost].sort()).toEqual(['DeleteDBCluster', 'DeleteDBInstance']);
    expect(await removeSideCluster({ identifier: 'side-one' })).toBe(true);
    expect((await cluster('cell')).Status).toBe('available');
  });

  test('is deleted while it is being restored; one of the same name waits until it is gone', async () => {
    const launch = launchOf('side-two', { at: 'latest' });
    expect(await driveSideCluster(launch)).toEqual({ phase: 'restoring' });
    // While it is being restored, RDS refuses the deletion, which is tried again.
    await vi.waitUntil(async () => {
      await removeSideCluster(launch);
      const { Status } = await cluster('side-two').catch(() => ({ Status: 'gone' }));
      return Status === 'deleting' || Status === 'gone';
    }, POLL);
    const { address } = await driven(launch);
    expect(await query(address, 'SELECT value FROM kept')).toHaveLength(2);
    await removed('side-two');
  });
});

test('of a subscriber leaves the original’s replication alone, and gives the subscription up without a slot', async () => {
  const publisher = await addressOf('publisher');
  const cell = await addressOf('cell');
  await query(
    publisher,
    `CREATE TABLE replicated (n int PRIMARY KEY);
     CREATE ROLE replicator LOGIN PASSWORD 'replicating';
     GRANT rds_replication TO replicator;
     GRANT SELECT ON replicated TO replicator;
     CREATE PUBLICATION published FOR TABLE replicated`,
  );
  await query(cell, 'CREATE TABLE replicated (n int PRIMARY KEY)');
  const connection = `host=${publisher.host} port=${publisher.port} dbname=strata user=replicator password=replicating sslmode=require`;
  await query(cell, `CREATE SUBSCRIPTION subscribed CONNECTION '${connection}' PUBLICATION published`);
  const received = (where: typeof cell) => query(where, 'SELECT n FROM replicated ORDER BY n');
  await query(publisher, 'INSERT INTO replicated VALUES (1)');
  await expect.poll(() => received(cell), POLL).toEqual([{ n: 1 }]);
  const { address } = await driven(launchOf('side-subscriber', { at: 'latest' }));
  expect(await query(address, 'SELECT subname, subenabled FROM pg_subscription')).toEqual([
    { subname: 'subscribed', subenabled: true },
  ]);
  // The process that would start the subscription's workers is not there, so nothing can take the slot.
  expect(
    await query(
      address,
      "SELECT pid FROM pg_stat_activity WHERE backend_type = 'logical replication launcher'",
    ),
  ).toEqual([]);
  // The slot is free for a while.
  await query(cell, 'ALTER SUBSCRIPTION subscribed DISABLE');
  await query(publisher, 'INSERT INTO replicated VALUES (2)');
  await query(cell, 'ALTER SUBSCRIPTION subscribed ENABLE');
  await expect.poll(() => received(cell), POLL).toEqual([{ n: 1 }, { n: 2 }]);
  expect(await received(address)).toEqual([{ n: 1 }]);
  await query(address, 'ALTER SUBSCRIPTION subscribed DISABLE');
  await query(address, 'ALTER SUBSCRIPTION subscribed SET (slot_name = NONE)');
  await query(address, 'DROP SUBSCRIPTION subscribed');
  expect(await query(publisher, 'SELECT slot_name, active FROM pg_replication_slots')).toEqual([
    { slot_name: 'subscribed', active: true },
  ]);
  await query(publisher, 'INSERT INTO replicated VALUES (3)');
  await expect.poll(() => received(cell), POLL).toHaveLength(3);
  await query(cell, 'DROP SUBSCRIPTION subscribed');
  await removed('side-subscriber');
});

describe('no side cluster is made', () => {
  test('of a time that cannot be restored: the refusal tells which ones can', async () => {
    const { EarliestRestorableTime: earliest } = await cluster('cell');
    const refused = (at: Date) =>
      expect(driveSideCluster(launchOf('side-none', { at }))).rejects.toMatchObject({
        name: 'TimeNotRestorable',
        window: { earliest },
        message: expect.stringContaining(`Times from ${earliest!.toISOString()} to `),
      });
    await refused(new Date(earliest!.getTime() - 1));
    await refused(new Date(Date.now() + 60_000));
    await refused(new Date('no time'));
    await expect(cluster('side-none')).rejects.toMatchObject({ name: 'DBClusterNotFoundFault' });
  });

  test('of a cluster that does not exist', async () => {
    const launch = launchOf('side-none', { source: 'none' });
    await expect(driveSideCluster(launch)).rejects.toMatchObject({ name: 'DBClusterNotFoundFault' });
  });
});

test('a restore that fails says so until it is removed, and is made anew then', async () => {
  const bases = join(fixture.stateDir, 'postgres', 'cell', 'archive', 'bases');
  const packed = readdirSync(bases).filter((name) => name.endsWith('.zst'));
  for (const name of packed) renameSync(join(bases, name), join(bases, `${name}.lost`));
  const launch = launchOf('side-failed');
  const failed = { name: 'SideClusterFailed', cause: { message: 'side-failed is restore-error' } };
  await expect
    .poll(
      () =>
        driveSideCluster(launch).then(
          ({ phase }) => phase,
          (error: Error) => error,
        ),
      POLL,
    )
    .toMatchObject(failed);
  await expect(driveSideCluster(launch)).rejects.toMatchObject(failed);
  for (const name of packed) renameSync(join(bases, `${name}.lost`), join(bases, name));
  await removed('side-failed');
  const { address } = await driven(launch);
  expect(await query(address, 'SELECT value FROM kept')).toEqual([{ value: 'first' }]);
  await removed('side-failed');
});
