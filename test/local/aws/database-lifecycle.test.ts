import {
  CloudFormationClient,
  CreateStackCommand,
  DeleteStackCommand,
  DescribeStackEventsCommand,
  DescribeStacksCommand,
} from '@aws-sdk/client-cloudformation';
import {
  CreateDBClusterSnapshotCommand,
  DeleteDBClusterCommand,
  DeleteDBInstanceCommand,
  DeleteDBProxyCommand,
  DescribeDBClusterSnapshotsCommand,
  DescribeDBClustersCommand,
  DescribeDBProxiesCommand,
  ModifyDBClusterCommand,
  RDSClient,
} from '@aws-sdk/client-rds';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { FULL_RUN } from '../../full-run.ts';
import { att, type FixtureStack, ref, role } from './assembly.ts';
import { type EndpointFixture, startEndpoint } from './endpoint-fixture.ts';

let fixture: EndpointFixture;
let cloudFormation: CloudFormationClient;
let rds: RDSClient;
let counter = 0;

const cluster = 'arn:aws:rds:us-east-1:000000000000:cluster:life-*';
const roles: FixtureStack = {
  name: 'Home',
  resources: {
    ...role('Looker', [
      { Action: ['rds:DescribeDBClusters', 'rds:DescribeDBClusterSnapshots'], Resource: '*' },
    ]),
    ...role('Remover', [
      { Action: ['rds:ModifyDBCluster', 'rds:DeleteDBCluster'], Resource: cluster },
      {
        Action: 'rds:DeleteDBCluster',
        Resource: 'arn:aws:rds:us-east-1:000000000000:cluster-snapshot:*',
      },
      { Action: 'rds:CreateDBClusterSnapshot', Resource: cluster },
      { Action: 'rds:DeleteDBInstance', Resource: 'arn:aws:rds:us-east-1:000000000000:db:other-*' },
    ]),
  },
};

/** A cluster with one instance and its groups, retained as dedicated databases are, and perhaps a part that fails. */
const template = (identifier: string, { failing = false, DeletionProtection = false } = {}) => ({
  Resources: {
    Subnets: { Type: 'AWS::RDS::DBSubnetGroup', Properties: { SubnetIds: ['subnet-1'] } },
    Cluster: {
      Type: 'AWS::RDS::DBCluster',
      DeletionPolicy: 'RetainExceptOnCreate',
      Properties: {
        DBClusterIdentifier: identifier,
        DatabaseName: 'strata',
        EnableHttpEndpoint: true,
        MasterUsername: 'strata_master',
        MasterUserPassword: 'master-password',
        DBSubnetGroupName: ref('Subnets'),
        DeletionProtection,
      },
    },
    Writer: {
      Type: 'AWS::RDS::DBInstance',
      DeletionPolicy: 'RetainExceptOnCreate',
      Properties: { DBClusterIdentifier: ref('Cluster'), DBInstanceIdentifier: `${identifier}-writer` },
    },
    Proxy: {
      Type: 'AWS::RDS::DBProxy',
      DeletionPolicy: 'RetainExceptOnCreate',
      Properties: { DBProxyName: identifier, EngineFamily: 'POSTGRESQL', RoleArn: 'role', VpcSubnetIds: [] },
    },
    ...(failing
      ? { Failing: { Type: 'AWS::RDS::DBCluster', DependsOn: ['Writer', 'Proxy'], Properties: {} } }
      : {}),
  },
  Outputs: { ClusterArn: { Value: att('Cluster', 'DBClusterArn') } },
});

beforeAll(async () => {
  fixture = await startEndpoint([roles]);
  connect();
}, 60_000);
afterAll(() => fixture?.stop());

function connect(): void {
  cloudFormation = new CloudFormationClient(fixture.client());
  rds = new RDSClient(fixture.client());
}

async function create(options?: {
  failing?: boolean;
  DeletionProtection?: boolean;
}): Promise<{ name: string; stackId: string }> {
  counter += 1;
  const name = `life-${counter}`;
  const { StackId } = await cloudFormation.send(
    new CreateStackCommand({ StackName: name, TemplateBody: JSON.stringify(template(name, options)) }),
  );
  return { name, stackId: StackId! };
}

async function settled(stackId: string): Promise<string> {
  const status = async () =>
    (await cloudFormation.send(new DescribeStacksCommand({ StackName: stackId }))).Stacks![0]!.StackStatus!;
  await expect.poll(status, { timeout: 30_000, interval: 50 }).not.toMatch(/IN_PROGRESS$/);
  return status();
}

const describeCluster = async (DBClusterIdentifier: string) =>
  (await rds.send(new DescribeDBClustersCommand({ DBClusterIdentifier }))).DBClusters![0]!;
const protect = (DBClusterIdentifier: string, DeletionProtection: boolean) =>
  rds.send(new ModifyDBClusterCommand({ DBClusterIdentifier, DeletionProtection }));
const removeCluster = (DBClusterIdentifier: string, client = rds) =>
  client.send(new DeleteDBClusterCommand({ DBClusterIdentifier, SkipFinalSnapshot: true }));
const removeInstance = (name: string, client = rds) =>
  client.send(new DeleteDBInstanceCommand({ DBInstanceIdentifier: `${name}-writer` }));
const gone = (name: string) =>
  expect
    .poll(() => describeCluster(name).catch((error: Error) => error.name), { timeout: 10_000, interval: 20 })
    .toBe('DBClusterNotFoundFault');

describe('a creation that rolls back', () => {
  test('deletes the cluster that it has made, though stacks that are deleted retain theirs', async () => {
    const { name, stackId } = await create({ failing: true });
    expect(await settled(stackId)).toBe('ROLLBACK_COMPLETE');
    await expect(describeCluster(name)).rejects.toMatchObject({ name: 'DBClusterNotFoundFault' });
  });

  test.runIf(FULL_RUN)(
    'stops at a cluster whose template protects it: such a stack cannot roll back',
    async () => {
      const { name, stackId } = await create({ failing: true, DeletionProtection: true });
      expect(await settled(stackId)).toBe('ROLLBACK_FAILED');
      const { StackEvents } = await cloudFormation.send(
        new DescribeStackEventsCommand({ StackName: stackId }),
      );
      expect(StackEvents!.map((event) => event.ResourceStatusReason)).toContainEqual(
        expect.stringContaining('Cannot delete protected Cluster'),
      );
      expect(await describeCluster(name)).toMatchObject({ DeletionProtection: true });
    },
  );
});

describe('a cluster that stands', () => {
  test('is deleted by API calls in AWS’s order, and stays deleted over a restart', async () => {
    const { name, stackId } = await create();
    expect(await settled(stackId)).toBe('CREATE_COMPLETE');
    await protect(name, true);
    await fixture.restart();
    connect();
    expect(await describeCluster(name)).toMatchObject({ DeletionProtection: true });
    await expect(removeCluster(name)).rejects.toMatchObject({ name: 'InvalidParameterCombination' });
    await protect(name, false);
    await expect(removeCluster(name)).rejects.toMatchObject({ name: 'InvalidDBClusterStateFault' });
    // The cluster uses the subnet group, so its stack cannot be deleted first.
    await cloudFormation.send(new DeleteStackCommand({ StackName: stackId }));
    expect(await settled(stackId)).toBe('DELETE_FAILED');

    const snapshot = { DBClusterSnapshotIdentifier: `${name}-last` };
    const taken = await rds.send(
      new CreateDBClusterSnapshotCommand({
        ...snapshot,
        DBClusterIdentifier: name,
        Tags: [{ Key: 'strata:tenant-id', Value: 't1' }],
      }),
    );
    expect(taken.DBClusterSnapshot).toMatchObject({ Status: 'creating', DBClusterIdentifier: name });
    await rds.send(new DeleteDBProxyCommand({ DBProxyName: name }));
    await removeInstance(name);
    await removeCluster(name);
    await expect(removeCluster(name)).rejects.toMatchObject({ name: 'InvalidDBClusterStateFault' });
    // The platform ends while the data is being erased.
    await fixture.restart();
    connect();
    await gone(name);
    await expect(rds.send(new DescribeDBProxiesCommand({ DBProxyName: name }))).rejects.toMatchObject({
      name: 'DBProxyNotFoundFault',
    });
    await cloudFormation.send(new DeleteStackCommand({ StackName: stackId }));
    expect(await settled(stackId)).toBe('DELETE_COMPLETE');
    const found = async () =>
      (await rds.send(new DescribeDBClusterSnapshotsCommand(snapshot))).DBClusterSnapshots;
    await expect
      .poll(found, { timeout: 5_000, interval: 20 })
      .toMatchObject([{ Status: 'available', AllocatedStorage: 1, Engine: 'aurora-postgresql' }]);
    await expect(
      rds.send(new DescribeDBClusterSnapshotsCommand({ DBClusterSnapshotIdentifier: 'none' })),
    ).rejects.toMatchObject({ name: 'DBClusterSnapshotNotFoundFault' });
  });

  test('is changed and deleted only by a role that may', async () => {
    const { name, stackId } = await create();
    await settled(stackId);
    const looker = new RDSClient(fixture.client('Looker'));
    const remover = new RDSClient(fixture.client('Remover'));
    const denied = { name: 'AccessDenied' };
    const snapshot = new CreateDBClusterSnapshotCommand({
      DBClusterIdentifier: name,
      DBClusterSnapshotIdentifier: `${name}-last`,
    });
    await expect(removeCluster(name, looker)).rejects.toMatchObject(denied);
    await expect(looker.send(snapshot)).rejects.toMatchObject(denied);
    // It may on the cluster, but not make a snapshot of that name.
    await expect(remover.send(snapshot)).rejects.toMatchObject(denied);
    await expect(removeInstance(name, remover)).rejects.toMatchObject(denied);
    await expect(
      looker.send(new ModifyDBClusterCommand({ DBClusterIdentifier: name, DeletionProtection: false })),
    ).rejects.toMatchObject(denied);
    await expect(removeCluster(name, remover)).rejects.toMatchObject({ name: 'InvalidDBClusterStateFault' });
  });
});
