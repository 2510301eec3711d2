/**
 * A side cluster: a copy of a cluster as it was at a time, from which one tenant's data are taken. It is driven one
 * observation at a time: a workflow calls `driveSideCluster` in a loop, then `removeSideCluster` in a loop.
 *
 *   none ──RestoreDBClusterToPointInTime──▶ restoring ──available──▶ starting (its instance is being made) ──▶ ready
 *    ▲                                      └─fails──▶ SideClusterFailed
 *    └────── gone ◀── deleting ◀──removeSideCluster── any of them
 *
 * Invariants: nothing is remembered but in RDS, so each call may be lost, repeated or made by another execution; a cluster
 * is used and deleted only if its tags say that it is a side cluster of this source and this time (a role's rights should
 * say so too: `aws:ResourceTag/strata:component`). The first instance is made after the cluster has its parameter group
 * and before anybody knows its address.
 *
 * It is a copy of everything: subscriptions, placements, roles and passwords as they were. `parameterGroup` must keep the
 * subscriptions from working (`max_logical_replication_workers = 0`), and `securityGroupIds` everyone but the restore
 * from connecting; what has to be done inside of it is not this file's.
 */
import type { DBCluster } from '@aws-sdk/client-rds';
import { rdsClient } from './clients.ts';
import { deleteCluster, findCluster, restorableWindowOf } from './database-clusters.ts';
import { SideClusterFailed, SideClusterTaken, TimeNotRestorable } from './errors.ts';

export interface SideClusterLaunch {
  /** At most 56 characters: lower-case letters, digits and single hyphens. A new one for each restore. */
  readonly identifier: string;
  /** Identifier or ARN of a cluster in the same AWS region. */
  readonly source: string;
  /** `latest`: the latest that is restorable when the restore begins. */
  readonly at: Date | 'latest';
  readonly subnetGroup: string;
  readonly securityGroupIds: readonly string[];
  /** A DB cluster parameter group. */
  readonly parameterGroup: string;
  /** Such as `db.serverless`, which needs `capacity`. */
  readonly instanceClass: string;
  /** In Aurora capacity units. */
  readonly capacity?: { readonly min: number; readonly max: number };
  /** Beside the ones that say what it is. */
  readonly tags?: Readonly<Record<string, string>>;
  /** The function's own when absent. */
  readonly awsRegion?: string | undefined;
}

/** Where a side cluster serves. */
export interface SideClusterAddress {
  readonly host: string;
  readonly port: number;
  readonly database: string;
  readonly masterUsername: string;
  readonly clusterArn: string;
}

/** `waiting`: for the time to become restorable, or for a former cluster of that name to be gone. */
export type SideClusterProgress =
  | { readonly phase: 'waiting' | 'restoring' | 'starting' }
  | { readonly phase: 'ready'; readonly address: SideClusterAddress };

/** Value of the tag `strata:component`. */
export const SIDE_CLUSTER = 'side-cluster';
const ENGINE = 'aurora-postgresql';
/** Days; RDS takes no less. */
const SHORTEST_RETENTION = 1;
const FAILED = /failed|error|inaccessible|incompatible/;

/**
 * Looks at the side cluster and does the one thing that is due: restore it, make its instance, or nothing. Restoring takes
 * 10 minutes and more; how long is waited is the caller's to decide.
 * @throws {TimeNotRestorable} the time is in the future, or outside of what the source can be restored to.
 * @throws {SideClusterFailed} remove it before the next try.
 * @throws {SideClusterTaken} the name belongs to another cluster.
 * @throws RDS's errors, such as `DBClusterNotFoundFault` of the source and `DBClusterQuotaExceededFault`.
 */
export async function driveSideCluster(launch: SideClusterLaunch): Promise<SideClusterProgress> {
  const { identifier, awsRegion } = launch;
  const cluster = await findCluster(identifier, awsRegion);
  if (!cluster) return restore(launch);
  requireOwn(cluster, tagsOf(launch));
  const { Status = '' } = cluster;
  if (FAILED.test(Status)) throw new SideClusterFailed({ cause: new Error(`${identifier} is ${Status}`) });
  if (Status === 'deleting') return { phase: 'waiting' };
  if (Status === 'creating') return { phase: 'restoring' };
  const status = await instanceStatus(launch);
  if (status === undefined) return makeInstance(launch);
  if (FAILED.test(status)) {
    throw new SideClusterFailed({ cause: new Error(`the instance of ${identifier} is ${status}`) });
  }
  if (status !== 'available' || Status !== 'available') return { phase: 'starting' };
  const { Endpoint, Port, DatabaseName, MasterUsername, DBClusterArn } = cluster;
  if (!Endpoint || !Port || !DatabaseName || !MasterUsername || !DBClusterArn) return { phase: 'starting' };
  return {
    phase: 'ready',
    address: {
      host: Endpoint,
      port: Port,
      database: DatabaseName,
      masterUsername: MasterUsername,
      clusterArn: DBClusterArn,
    },
  };
}

/**
 * Gives the master user of a side cluster that is ready a password of its own: the copy has the one of that time, which
 * may have been rotated since. RDS takes a moment; a sign-in proves that it is done. May be repeated.
 * @throws RDS's errors: `InvalidDBClusterStateFault` while the cluster is being changed.
 */
export async function setSideMasterPassword(
  { identifier, awsRegion }: Pick<SideClusterLaunch, 'identifier' | 'awsRegion'>,
  password: string,
): Promise<void> {
  const { ModifyDBClusterCommand } = await import('@aws-sdk/client-rds');
  const cluster = await findCluster(identifier, awsRegion);
  if (cluster) requireOwn(cluster, { 'strata:component': SIDE_CLUSTER });
  await (await rdsClient(awsRegion)).send(
    new ModifyDBClusterCommand({
      DBClusterIdentifier: identifier,
      MasterUserPassword: password,
      ApplyImmediately: true,
    }),
  );
}

/**
 * Deletes a side cluster, without a snapshot; in whatever state it is. It takes minutes: called until nothing is left.
 * @returns whether nothing is left.
 * @throws {SideClusterTaken} it is no side cluster, and is left alone. And RDS's errors.
 */
export async function removeSideCluster({
  identifier,
  awsRegion,
}: Pick<SideClusterLaunch, 'identifier' | 'awsRegion'>): Promise<boolean> {
  const cluster = await findCluster(identifier, awsRegion);
  if (!cluster) return true;
  requireOwn(cluster, { 'strata:component': SIDE_CLUSTER });
  await deleteCluster(cluster, awsRegion);
  return false;
}

/** Whether RDS is deleting it, or has. @throws RDS's errors. */
export async function isSideClusterDeleting({
  identifier,
  awsRegion,
}: Pick<SideClusterLaunch, 'identifier' | 'awsRegion'>): Promise<boolean> {
  const cluster = await findCluster(identifier, awsRegion);
  return cluster === undefined || cluster.Status === 'deleting';
}

/**
 * The identifiers of all side clusters of the region whose names begin so, in whatever state they are.
 * @throws RDS's errors.
 */
export async function listSideClusters(beginning: string, awsRegion?: string): Promise<string[]> {
  const { paginateDescribeDBClusters } = await import('@aws-sdk/client-rds');
  const client = await rdsClient(awsRegion);
  const found: string[] = [];
  for await (const { DBClusters = [] } of paginateDescribeDBClusters({ client }, {})) {
    for (const { DBClusterIdentifier = '', TagList = [] } of DBClusters) {
      const isSide = TagList.some(({ Key, Value }) => Key === 'strata:component' && Value === SIDE_CLUSTER);
      if (isSide && DBClusterIdentifier.startsWith(beginning)) found.push(DBClusterIdentifier);
    }
  }
  return found;
}

async function restore(launch: SideClusterLaunch): Promise<SideClusterProgress> {
  const { identifier, source, at, capacity, awsRegion } = launch;
  const { DBClusterAlreadyExistsFault, RestoreDBClusterToPointInTimeCommand } = await import(
    '@aws-sdk/client-rds'
  );
  const client = await rdsClient(awsRegion);
  if (!(await isRestorable(launch))) return { phase: 'waiting' };
  try {
    await client.send(
      new RestoreDBClusterToPointInTimeCommand({
        DBClusterIdentifier: identifier,
        SourceDBClusterIdentifier: source,
        ...(at === 'latest' ? { UseLatestRestorableTime: true } : { RestoreToTime: at }),
        DBSubnetGroupName: launch.subnetGroup,
        VpcSecurityGroupIds: [...launch.securityGroupIds],
        DBClusterParameterGroupName: launch.parameterGroup,
        ServerlessV2ScalingConfiguration: capacity && {
          MinCapacity: capacity.min,
          MaxCapacity: capacity.max,
        },
        BackupRetentionPeriod: SHORTEST_RETENTION,
        DeletionProtection: false,
        EnableIAMDatabaseAuthentication: false,
        CopyTagsToSnapshot: true,
        Tags: asList(tagsOf(launch)),
      }),
    );
  } catch (error) {
    // Another call was faster: the next look finds it, and whose it is.
    if (!(error instanceof DBClusterAlreadyExistsFault)) throw error;
  }
  return { phase: 'restoring' };
}

/** @returns false while the time has passed, but is not restorable yet. @throws {TimeNotRestorable} it never will be. */
async function isRestorable({ source, at, awsRegion }: SideClusterLaunch): Promise<boolean> {
  const { DescribeDBClustersCommand } = await import('@aws-sdk/client-rds');
  const client = await rdsClient(awsRegion);
  const { DBClusters = [] } = await client.send(
    new DescribeDBClustersCommand({ DBClusterIdentifier: source }),
  );
  const window = DBClusters[0] && restorableWindowOf(DBClusters[0]);
  if (!window) throw new TimeNotRestorable(undefined);
  if (at === 'latest') return true;
  if (Number.isNaN(at.getTime()) || at < window.earliest || at.getTime() > Date.now()) {
    throw new TimeNotRestorable(window);
  }
  return at <= window.latest;
}

const instanceOf = (identifier: string) => `${identifier}-writer`;

/** @returns undefined where there is no instance. */
async function instanceStatus({ identifier, awsRegion }: SideClusterLaunch): Promise<string | undefined> {
  const { DBInstanceNotFoundFault, DescribeDBInstancesCommand } = await import('@aws-sdk/client-rds');
  const client = await rdsClient(awsRegion);
  try {
    const named = new DescribeDBInstancesCommand({ DBInstanceIdentifier: instanceOf(identifier) });
    const { DBInstances = [] } = await client.send(named);
    return DBInstances[0]?.DBInstanceStatus;
  } catch (error) {
    if (error instanceof DBInstanceNotFoundFault) return undefined;
    throw error;
  }
}

async function makeInstance(launch: SideClusterLaunch): Promise<SideClusterProgress> {
  const { CreateDBInstanceCommand, DBInstanceAlreadyExistsFault } = await import('@aws-sdk/client-rds');
  const client = await rdsClient(launch.awsRegion);
  try {
    await client.send(
      new CreateDBInstanceCommand({
        DBInstanceIdentifier: instanceOf(launch.identifier),
        DBClusterIdentifier: launch.identifier,
        DBInstanceClass: launch.instanceClass,
        Engine: ENGINE,
        PubliclyAccessible: false,
        AutoMinorVersionUpgrade: false,
        Tags: asList(tagsOf(launch)),
      }),
    );
  } catch (error) {
    // Another call was faster.
    if (!(error instanceof DBInstanceAlreadyExistsFault)) throw error;
  }
  return { phase: 'starting' };
}

/** What it is, and of what: written once, and compared at every look. */
const tagsOf = ({ source, at, tags }: SideClusterLaunch): Record<string, string> => ({
  ...tags,
  'strata:component': SIDE_CLUSTER,
  'strata:restored-from': source.split(':').at(-1) ?? source,
  'strata:restored-to': at === 'latest' ? at : at.toISOString(),
});

const asList = (tags: Record<string, string>) => Object.entries(tags).map(([Key, Value]) => ({ Key, Value }));

/** @throws {SideClusterTaken} */
function requireOwn({ DBClusterIdentifier, TagList = [] }: DBCluster, own: Record<string, string>): void {
  const other = Object.entries(own).find(
    ([name, value]) => !TagList.some(({ Key, Value }) => Key === name && Value === value),
  );
  if (!other) return;
  throw new SideClusterTaken({ cause: new Error(`${DBClusterIdentifier} has no tag ${other.join('=')}`) });
}
