import { CloudFormationClient, DescribeStacksCommand } from '@aws-sdk/client-cloudformation';
import { DescribeDBClusterSnapshotsCommand, DescribeDBClustersCommand, RDSClient } from '@aws-sdk/client-rds';
import { expect, test } from 'vitest';
import { type MoveBody, MovingTenant } from './moving-tenant.ts';
import { call, operatorToken, platform } from './running-platform.ts';

const client = () => ({
  endpoint: platform().awsUrl,
  region: 'us-east-1',
  credentials: { accessKeyId: 'administrator', secretAccessKey: 'local' },
});

test('a tenant leaves Enterprise: its stack and server are deleted after a snapshot, and it comes back to new ones', async () => {
  const tenant = await MovingTenant.create({ tier: 'enterprise' });
  const stackName = `strata-tenant-${tenant.tenantId}`;
  const rds = new RDSClient(client());
  const clusters = async () => {
    const { DBClusters } = await rds.send(new DescribeDBClustersCommand({}));
    return DBClusters!.flatMap(({ DBClusterIdentifier: name }) =>
      name!.startsWith(stackName) ? [name] : [],
    );
  };
  const [first] = await clusters();
  const load = tenant.load();
  load.start();
  await load.written(10);
  const { moveId } = await tenant.move({ targetTier: 'business' });

  const report = async (): Promise<MoveBody> =>
    (await call('GET', `/tenants/${tenant.slug}/moves/${moveId}`, { token: await operatorToken() })).body
      .report;
  await expect
    .poll(report, { timeout: 60_000, interval: 200 })
    .toMatchObject({ deletedDatabase: { stackName, cluster: first, snapshot: expect.any(String) } });
  expect(await clusters()).toEqual([]);
  await expect(
    new CloudFormationClient(client()).send(new DescribeStacksCommand({ StackName: stackName })),
  ).rejects.toThrow('does not exist');
  const { deletedDatabase } = await report();
  const { DBClusterSnapshots } = await rds.send(
    new DescribeDBClusterSnapshotsCommand({ DBClusterSnapshotIdentifier: deletedDatabase.snapshot }),
  );
  expect(DBClusterSnapshots).toMatchObject([
    {
      Status: 'available',
      TagList: expect.arrayContaining([{ Key: 'strata:tenant-id', Value: tenant.tenantId }]),
    },
  ]);

  expect(await tenant.move({ targetTier: 'enterprise' })).toMatchObject({ status: 'succeeded' });
  await load.stop();
  // It has worked all the while, and does in a database that is made anew.
  expect(load.violations).toEqual([]);
  expect(await load.verify()).toEqual([]);
  expect(await clusters()).toEqual([expect.not.stringMatching(new RegExp(`^${first}$`))]);
}, 180_000);
