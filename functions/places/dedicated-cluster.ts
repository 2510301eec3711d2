import { rdsClient } from '../aws/clients.ts';
import { deleteCluster, findCluster, unlessGone } from '../aws/database-clusters.ts';

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
  const { DeleteDBProxyCommand, DescribeDBProxiesCommand } = await import('@aws-sdk/client-rds');
  const client = await rdsClient(awsRegion);
  // First, so that nothing opens connections any more.
  const proxy = { DBProxyName: name };
  const found = await unlessGone(client.send(new DescribeDBProxiesCommand(proxy)));
  if (found?.DBProxies?.length) await unlessGone(client.send(new DeleteDBProxyCommand(proxy)));
  const cluster = await findCluster(name, awsRegion);
  if (!cluster) return true;
  await deleteCluster(cluster, awsRegion);
  return false;
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
