import { rdsClient } from '../aws/clients.ts';

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
