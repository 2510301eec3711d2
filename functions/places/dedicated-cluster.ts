import type { DBCluster } from '@aws-sdk/client-rds';
import { rdsClient } from '../aws/clients.ts';

/** True when a cluster of that name exists, even while it is being deleted. @throws RDS's errors. */
export async function hasCluster(name: string, awsRegion: string | undefined): Promise<boolean> {
  return (await findCluster(name, awsRegion)) !== undefined;
}

/**
 * Deletes the proxy, the instances and the cluster of a dedicated database, without a snapshot and in spite of deletion
 * protection. Each deletion takes minutes: call it until it returns true. Deletions that an earlier call has started
 * continue.
 * @param name of both cluster and proxy.
 * @returns true when nothing is left.
 * @throws RDS's errors, except those of a resource that is gone, being deleted or being changed.
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
  // First, so that no new connections are opened.
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

/**
 * While a resource's state does not allow the call (modifying, backing up, being deleted), the next call tries again.
 */
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
 * Sets the deletion protection of a cluster; does nothing when it is set already.
 * @param awsRegion region of the cluster; the function's own when absent.
 * @returns true when it was changed.
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
