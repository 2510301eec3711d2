import { rdsClient } from '../aws/clients.ts';
import { deleteCluster, findCluster, unlessGone } from '../aws/database-clusters.ts';

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
    DeleteDBProxyCommand,
    DeleteDBProxyEndpointCommand,
    DescribeDBProxiesCommand,
    DescribeDBProxyEndpointsCommand,
  } = await import('@aws-sdk/client-rds');
  const client = await rdsClient(awsRegion);
  // First, so that no new connections are opened.
  const proxy = { DBProxyName: name };
  const found = await unlessGone(client.send(new DescribeDBProxiesCommand(proxy)));
  const hasProxy = (found?.DBProxies?.length ?? 0) > 0;
  if (hasProxy) {
    const { DBProxyEndpoints = [] } =
      (await unlessGone(client.send(new DescribeDBProxyEndpointsCommand(proxy)))) ?? {};
    for (const { DBProxyEndpointName, IsDefault } of DBProxyEndpoints) {
      if (!IsDefault)
        await unlessGone(client.send(new DeleteDBProxyEndpointCommand({ DBProxyEndpointName })));
    }
    // Refused while an endpoint is being deleted: the next call does it.
    await unlessGone(client.send(new DeleteDBProxyCommand(proxy)));
  }
  const cluster = await findCluster(name, awsRegion);
  if (!cluster) return !hasProxy;
  await deleteCluster(cluster, awsRegion);
  return false;
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
