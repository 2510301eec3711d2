/**
 * A side cluster: a copy of a cluster as of a past time, from which one tenant's rows are read. A workflow calls
 * `driveSideCluster` in a loop, and later `removeSideCluster` in a loop. Each call reads the state and makes one step.
 *
 *   none ──RestoreDBClusterToPointInTime──▶ restoring ──available──▶ starting (its instance is being created) ──▶ ready
 *    ▲                                      └─fails──▶ SideClusterFailed
 *    └────── gone ◀── deleting ◀──removeSideCluster── any of them
 *
 * Invariants
 * - all state is in RDS, so a call may be lost, repeated or made by another execution;
 * - a cluster is used only if its tags name this source and this time, and deleted only if they mark a side cluster
 *   (roles should have a condition on `aws:ResourceTag/strata:component` as well);
 * - the instance is created after the cluster has its parameter group, and the address is returned after that.
 *
 * The copy contains everything: subscriptions, placements, roles and passwords of that time. `parameterGroup` must
 * disable the subscriptions (`max_logical_replication_workers = 0`), and `securityGroupIds` must allow connections of
 * the restore only. Changes inside the database are made elsewhere: functions/database/provisioning/secure-copy.ts.
 */
import type { DBCluster } from '@aws-sdk/client-rds';
import { rdsClient } from './clients.ts';
import { deleteCluster, findCluster, restorableWindowOf } from './database-clusters.ts';
import { SideClusterFailed, SideClusterTaken, TimeNotRestorable } from './errors.ts';

export interface SideClusterLaunch {
  /** At most 56 characters: lower-case letters, digits and single hyphens. Each restore needs a new one. */
  readonly identifier: string;
  /** Identifier or ARN of a cluster in the same AWS region. */
  readonly source: string;
  /** `latest`: the latest restorable time when RDS begins the restore. */
  readonly at: Date | 'latest';
  readonly subnetGroup: string;
  readonly securityGroupIds: readonly string[];
  /** A DB cluster parameter group. */
  readonly parameterGroup: string;
  /** Such as `db.serverless`, which needs `capacity`. */
  readonly instanceClass: string;
  /** In Aurora capacity units. */
  readonly capacity?: { readonly min: number; readonly max: number };
  /** Tags in addition to those that mark a side cluster. */
  readonly tags?: Readonly<Record<string, string>>;
  /** The function's own when absent. */
  readonly awsRegion?: string | undefined;
}

/** Address of a side cluster that is ready. */
export interface SideClusterAddress {
  readonly host: string;
  readonly port: number;
  readonly database: string;
  readonly masterUsername: string;
  readonly clusterArn: string;
}

/** `waiting`: until the time is restorable, or until the deletion of an earlier cluster of that name has ended. */
export type SideClusterProgress =
  | { readonly phase: 'waiting' | 'restoring' | 'starting' }
  | { readonly phase: 'ready'; readonly address: SideClusterAddress };

/** Value of the tag `strata:component`. */
export const SIDE_CLUSTER = 'side-cluster';
const ENGINE = 'aurora-postgresql';
/** Days; the minimum of RDS. */
const SHORTEST_RETENTION = 1;
const FAILED = /failed|error|inaccessible|incompatible/;

/**
 * Reads the state of the side cluster and makes the next step, if one is due: it restores the cluster or creates its
 * instance. Restoring takes at least 10 minutes; the caller decides how long to wait.
 * @throws {TimeNotRestorable} the time is in the future, or outside the window of the source.
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
  if (status === undefined) return createInstance(launch);
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
 * Sets the password of the master user of a side cluster that is ready: the copy has the password of its time, which
 * may have been rotated since. RDS sets it asynchronously; a successful sign-in proves that it is set. Idempotent.
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
 * Deletes a side cluster in any state, without a snapshot. It takes minutes: call it until it returns true.
 * @returns whether the cluster does not exist any more.
 * @throws {SideClusterTaken} the cluster is no side cluster; it is not changed.
 * @throws RDS's errors.
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

/** Whether RDS is deleting the cluster, or has deleted it. @throws RDS's errors. */
export async function isSideClusterDeleting({
  identifier,
  awsRegion,
}: Pick<SideClusterLaunch, 'identifier' | 'awsRegion'>): Promise<boolean> {
  const cluster = await findCluster(identifier, awsRegion);
  return cluster === undefined || cluster.Status === 'deleting';
}

/**
 * The identifiers of all side clusters of the region whose names begin with `beginning`, in any state.
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
    // Another call was faster: the next call finds the cluster and checks its tags.
    if (!(error instanceof DBClusterAlreadyExistsFault)) throw error;
  }
  return { phase: 'restoring' };
}

/**
 * @returns false if a past time is not restorable yet.
 * @throws {TimeNotRestorable} the time will never be restorable.
 */
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

/** @returns undefined if the instance does not exist. */
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

async function createInstance(launch: SideClusterLaunch): Promise<SideClusterProgress> {
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

/** Tags that mark a side cluster and name its source and time. They are written once and compared at every call. */
const tagsOf = ({ source, at, tags }: SideClusterLaunch): Record<string, string> => ({
  ...tags,
  'strata:component': SIDE_CLUSTER,
  'strata:restored-from': source.split(':').at(-1) ?? source,
  'strata:restored-to': at === 'latest' ? at : at.toISOString(),
});

const asList = (tags: Record<string, string>) => Object.entries(tags).map(([Key, Value]) => ({ Key, Value }));

/** @throws {SideClusterTaken} the cluster does not have all of these tags. */
function requireOwn({ DBClusterIdentifier, TagList = [] }: DBCluster, own: Record<string, string>): void {
  const other = Object.entries(own).find(
    ([name, value]) => !TagList.some(({ Key, Value }) => Key === name && Value === value),
  );
  if (!other) return;
  throw new SideClusterTaken({ cause: new Error(`${DBClusterIdentifier} has no tag ${other.join('=')}`) });
}
