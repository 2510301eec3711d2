import type { DBCluster } from '@aws-sdk/client-rds';
import { rdsClient } from '../aws/clients.ts';

/** Whether there is a cluster of that name, be it one that is being deleted. @throws RDS's errors. */
export async function hasCluster(name: string, awsRegion: string | undefined): Promise<boolean> {
  return (await findCluster(name, awsRegion)) !== undefined;
}

/**
 * Deletes the proxy, the instances and the cluster of a dedicated database, without a snapshot and though it is
 * protected. Each takes minutes, so it is called until all are gone; what a former call has begun is left alone.
 * @param name of both cluster and proxy.
 * @returns whether nothing is left.
 * @throws RDS's errors, but for those of a resource that is gone, going or being changed.
 */
export async function removeDedicatedDatabase(name: string, awsRegion: string | undefined): Promise<boolean> {
  const {
    DeleteDBClusterCommand,
    DeleteDBInstanceCommand,
    DeleteDBProxyCommand,
    DescribeDBProxiesCommand,
    ModifyDBClusterCommand,
  } = await import('@aws-sdk/client-rds');
  const client = await rdsClient(awsRegion);
  // First, so that nothing opens connections any more.
  const proxy = { DBProxyName: name };
  const found = await unlessGone(client.send(new DescribeDBProxiesCommand(proxy)));
  if (found?.DBProxies?.length) await unlessGone(client.send(new DeleteDBProxyCommand(proxy)));
  const cluster = await findCluster(name, awsRegion);
  if (!cluster) return true;
  if (cluster.Status === 'deleting') return false;
  const named = { DBClusterIdentifier: name };
  if (cluster.DeletionProtection) {
    const lifted = new ModifyDBClusterCommand({
      ...named,
      DeletionProtection: false,
      ApplyImmediately: true,
    });
    await unlessGone(client.send(lifted));
  }
  for (const { DBInstanceIdentifier } of cluster.DBClusterMembers ?? []) {
    await unlessGone(client.send(new DeleteDBInstanceCommand({ DBInstanceIdentifier })));
  }
  await unlessGone(client.send(new DeleteDBClusterCommand({ ...named, SkipFinalSnapshot: true })));
  return false;
}

async function findCluster(name: string, awsRegion: string | undefined): Promise<DBCluster | undefined> {
  const { DescribeDBClustersCommand } = await import('@aws-sdk/client-rds');
  const client = await rdsClient(awsRegion);
  const found = await unlessGone(client.send(new DescribeDBClustersCommand({ DBClusterIdentifier: name })));
  return found?.DBClusters?.[0];
}

/** In a state that does not allow the call (modifying, backing up, being deleted), the next call tries again. */
async function unlessGone<Result>(call: Promise<Result>): Promise<Result | undefined> {
  try {
    return await call;
  } catch (error) {
    const { name } = error as Error;
    if (/^(DBProxy|DBCluster|DBInstance)NotFound|^InvalidDB(Proxy|Cluster|Instance)State/.test(name)) {
      return undefined;
    }
    throw error;
  }
}

/**
 * Sets the deletion protection of a cluster; does nothing where it is so already.
 * @param awsRegion where the cluster is; the function's own when absent.
 * @returns whether it was changed.
 * @throws RDS's errors: `DBClusterNotFoundFault`, or `InvalidDBClusterStateFault` while the cluster is being changed.
 */
export async function setDeletionProtection(
  clusterIdentifier: string,
  isOn: boolean,
  awsRegion?: string,
): Promise<boolean> {
  const { DescribeDBClustersCommand, ModifyDBClusterCommand } = await import('@aws-sdk/client-rds');
  const client = await rdsClient(awsRegion);
  const named = { DBClusterIdentifier: clusterIdentifier };
  const { DBClusters } = await client.send(new DescribeDBClustersCommand(named));
  if ((DBClusters?.[0]?.DeletionProtection ?? false) === isOn) return false;
  await client.send(
    new ModifyDBClusterCommand({ ...named, DeletionProtection: isOn, ApplyImmediately: true }),
  );
  return true;
}
