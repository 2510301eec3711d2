import type { DBCluster } from '@aws-sdk/client-rds';
import { rdsClient } from './clients.ts';

/** Times that a cluster can be restored to, both included. The later one follows the clock, on AWS by up to five minutes. */
export interface RestorableWindow {
  readonly earliest: Date;
  readonly latest: Date;
}

/**
 * @param name identifier or ARN.
 * @param awsRegion where the cluster is; the function's own when absent.
 * @returns undefined where there is none. One that is being deleted is found.
 * @throws RDS's errors.
 */
export async function findCluster(
  name: string,
  awsRegion: string | undefined,
): Promise<DBCluster | undefined> {
  const { DescribeDBClustersCommand } = await import('@aws-sdk/client-rds');
  const client = await rdsClient(awsRegion);
  const found = await unlessGone(client.send(new DescribeDBClustersCommand({ DBClusterIdentifier: name })));
  return found?.DBClusters?.[0];
}

/** @returns undefined for a cluster without continuous backup, or one that is too new to have any. */
export function restorableWindowOf(cluster: DBCluster): RestorableWindow | undefined {
  const { EarliestRestorableTime: earliest, LatestRestorableTime: latest } = cluster;
  return earliest && latest ? { earliest, latest } : undefined;
}

/**
 * Begins to delete a cluster and its instances, without a snapshot and though it is protected. It takes minutes, so it is
 * called until `findCluster` finds nothing; what a former call has begun is left alone.
 * @throws RDS's errors, but for those of a resource that is gone, going or being changed.
 */
export async function deleteCluster(
  { DBClusterIdentifier, Status, DeletionProtection, DBClusterMembers = [] }: DBCluster,
  awsRegion: string | undefined,
): Promise<void> {
  const { DeleteDBClusterCommand, DeleteDBInstanceCommand, ModifyDBClusterCommand } = await import(
    '@aws-sdk/client-rds'
  );
  if (Status === 'deleting') return;
  const client = await rdsClient(awsRegion);
  if (DeletionProtection) {
    const lifted = new ModifyDBClusterCommand({
      DBClusterIdentifier,
      DeletionProtection: false,
      ApplyImmediately: true,
    });
    await unlessGone(client.send(lifted));
  }
  for (const { DBInstanceIdentifier } of DBClusterMembers) {
    await unlessGone(client.send(new DeleteDBInstanceCommand({ DBInstanceIdentifier })));
  }
  await unlessGone(client.send(new DeleteDBClusterCommand({ DBClusterIdentifier, SkipFinalSnapshot: true })));
}

/** In a state that does not allow the call (modifying, backing up, being deleted), the next call tries again. */
export async function unlessGone<Result>(call: Promise<Result>): Promise<Result | undefined> {
  try {
    return await call;
  } catch (error) {
    const { name } = error as Error;
    if (
      /^DB(Proxy|ProxyEndpoint|Cluster|Instance)NotFound|^InvalidDB(Proxy|ProxyEndpoint|Cluster|Instance)State/.test(
        name,
      )
    ) {
      return undefined;
    }
    throw error;
  }
}
