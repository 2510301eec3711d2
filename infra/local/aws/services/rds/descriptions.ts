import type { PlatformContext, RestorableWindow } from '../../../model.ts';
import { AwsError } from '../../errors.ts';
import type { Input } from '../../input.ts';
import type { SecretStore } from '../secrets-manager/secret-store.ts';
import {
  type ClusterRecord,
  type ClusterSnapshot,
  type DatabaseProxy,
  type ProxyEndpoint,
  proxyStatus,
  type RdsStore,
} from './rds-store.ts';
import { targetHealth } from './target-health.ts';

export function describeProxy(proxy: DatabaseProxy): Record<string, unknown> {
  return {
    DBProxyName: proxy.name,
    DBProxyArn: proxy.arn,
    Status: proxyStatus(proxy),
    EngineFamily: 'POSTGRESQL',
    VpcId: proxy.vpcId,
    VpcSecurityGroupIds: proxy.securityGroupIds,
    VpcSubnetIds: proxy.subnetIds,
    Auth: proxy.auth,
    RoleArn: proxy.roleArn,
    Endpoint: '127.0.0.1',
    RequireTLS: proxy.requireTls,
    IdleClientTimeout: proxy.idleClientTimeout,
    DebugLogging: proxy.debugLogging,
    CreatedDate: new Date(proxy.createdDate),
    UpdatedDate: new Date(proxy.updatedDate),
  };
}

export function describeProxyEndpoint(endpoint: ProxyEndpoint): Record<string, unknown> {
  return {
    DBProxyEndpointName: endpoint.name,
    DBProxyEndpointArn: endpoint.arn,
    DBProxyName: endpoint.proxyName,
    Status: 'available',
    VpcId: endpoint.vpcId,
    VpcSecurityGroupIds: endpoint.securityGroupIds,
    VpcSubnetIds: endpoint.subnetIds,
    Endpoint: '127.0.0.1',
    TargetRole: endpoint.targetRole,
    IsDefault: false,
    CreatedDate: new Date(endpoint.createdDate),
  };
}

/** The targets of a proxy: one entry for the cluster, one for its writer. */
export async function describeTargets(
  store: RdsStore,
  context: PlatformContext,
  secrets: SecretStore,
  proxy: DatabaseProxy,
): Promise<Record<string, unknown>[]> {
  const identifiers = [...store.targetGroups.values()]
    .filter((group) => group.proxyName === proxy.name && group.region === proxy.region)
    .flatMap((group) => group.clusterIdentifiers);
  const { caCertificate } = context;
  const described = identifiers.map(async (identifier) => {
    const cluster = store.clusterByIdentifier(identifier, proxy.region);
    const server = cluster && context.clusters.byArn(cluster.arn);
    const common = { Endpoint: '127.0.0.1', Port: server?.port, TrackedClusterId: identifier };
    const writer = cluster?.instances[0];
    return [
      { ...common, RdsResourceId: identifier, Type: 'TRACKED_CLUSTER' },
      {
        ...common,
        RdsResourceId: writer?.identifier ?? identifier,
        Type: 'RDS_INSTANCE',
        Role: 'READ_WRITE',
        TargetHealth: await targetHealth(proxy, server, { secrets, caCertificate }),
      },
    ];
  });
  return (await Promise.all(described)).flat();
}

export function describeCluster(
  cluster: ClusterRecord,
  store: RdsStore,
  context: PlatformContext,
): Record<string, unknown> {
  const server = context.clusters.byArn(cluster.arn);
  const { properties, restore } = cluster;
  const window = restorableWindow(cluster, context);
  return {
    DBClusterIdentifier: cluster.identifier,
    DBClusterArn: cluster.arn,
    DbClusterResourceId: cluster.resourceId,
    Status: restore && !cluster.deleting ? restore.status : statusOf(cluster, server),
    EarliestRestorableTime: window?.earliest,
    LatestRestorableTime: window?.latest,
    Engine: 'aurora-postgresql',
    EngineVersion: properties.EngineVersion,
    EngineMode: 'provisioned',
    DatabaseName: server?.databaseName ?? restore?.databaseName,
    MasterUsername: server?.masterUsername ?? restore?.masterUsername,
    Endpoint: '127.0.0.1',
    ReaderEndpoint: '127.0.0.1',
    Port: server?.port ?? restore?.port,
    DBClusterParameterGroup: properties.DBClusterParameterGroupName,
    DBSubnetGroup: properties.DBSubnetGroupName,
    VpcSecurityGroups: ((properties.VpcSecurityGroupIds ?? []) as string[]).map((VpcSecurityGroupId) => ({
      VpcSecurityGroupId,
      Status: 'active',
    })),
    ServerlessV2ScalingConfiguration: properties.ServerlessV2ScalingConfiguration,
    TagList: cluster.tags,
    HttpEndpointEnabled: properties.EnableHttpEndpoint ?? false,
    DeletionProtection: store.isProtected(cluster),
    StorageEncrypted: properties.StorageEncrypted ?? false,
    KmsKeyId: properties.KmsKeyId,
    BackupRetentionPeriod: properties.BackupRetentionPeriod ?? 1,
    ClusterCreateTime: new Date(cluster.createdDate),
    MasterUserSecret: cluster.masterSecretArn
      ? { SecretArn: cluster.masterSecretArn, SecretStatus: 'active' }
      : undefined,
    DBClusterMembers: cluster.instances.map((instance, index) => ({
      DBInstanceIdentifier: instance.identifier,
      IsClusterWriter: index === 0,
      DBClusterParameterGroupStatus: 'in-sync',
    })),
  };
}

/** What the cluster can be restored to: what its archive covers, as far as its retention goes back. */
export function restorableWindow(
  { arn, properties, deleting }: ClusterRecord,
  context: PlatformContext,
): RestorableWindow | undefined {
  const window = deleting ? undefined : context.clusters.restorableWindow(arn);
  if (!window) return undefined;
  const retention = Number(properties.BackupRetentionPeriod ?? 1) * 24 * 60 * 60 * 1000;
  const oldest = window.latest.getTime() - retention;
  return { ...window, earliest: new Date(Math.max(window.earliest.getTime(), oldest)) };
}

export function describeInstance(
  instance: ClusterRecord['instances'][number],
  cluster: ClusterRecord,
  context: PlatformContext,
): Record<string, unknown> {
  const server = context.clusters.byArn(cluster.arn);
  return {
    DBInstanceIdentifier: instance.identifier,
    DBInstanceArn: instance.arn,
    DBInstanceClass: instance.instanceClass ?? 'db.serverless',
    DBInstanceStatus: statusOf(instance, server),
    Engine: 'aurora-postgresql',
    DBClusterIdentifier: cluster.identifier,
    Endpoint: { Address: '127.0.0.1', Port: server?.port },
  };
}

export function describeSnapshot(snapshot: ClusterSnapshot): Record<string, unknown> {
  const isAvailable = Date.now() >= snapshot.availableAt;
  return {
    DBClusterSnapshotIdentifier: snapshot.identifier,
    DBClusterSnapshotArn: snapshot.arn,
    DBClusterIdentifier: snapshot.clusterIdentifier,
    SnapshotType: 'manual',
    Status: isAvailable ? 'available' : 'creating',
    PercentProgress: isAvailable ? 100 : 0,
    Engine: 'aurora-postgresql',
    EngineVersion: snapshot.engineVersion,
    // GiB.
    AllocatedStorage: Math.max(1, Math.ceil(snapshot.bytes / 1024 ** 3)),
    StorageEncrypted: snapshot.kmsKeyId !== undefined,
    KmsKeyId: snapshot.kmsKeyId,
    SnapshotCreateTime: new Date(snapshot.createdDate),
    TagList: snapshot.tags,
  };
}

function statusOf(
  { deleting, creating }: { deleting?: boolean; creating?: boolean },
  server: unknown,
): string {
  if (deleting) return 'deleting';
  if (creating) return 'creating';
  return server ? 'available' : 'stopped';
}

/** Marker pagination as in every Describe call of RDS. @throws {AwsError} for a page size RDS refuses */
export function paginate(input: Input, member: string, items: unknown[]): Record<string, unknown> {
  const size = input.integer('MaxRecords') ?? 100;
  if (size < 20 || size > 100) {
    throw new AwsError(
      'InvalidParameterValue',
      `Invalid value ${size} for MaxRecords. Must be between 20 and 100`,
    );
  }
  const marker = input.text('Marker');
  const start = marker ? Number(Buffer.from(marker, 'base64').toString()) : 0;
  if (!Number.isInteger(start) || start < 0) throw new AwsError('InvalidParameterValue', 'Invalid Marker');
  const next = start + size;
  return {
    [member]: items.slice(start, next),
    Marker: next < items.length ? Buffer.from(String(next)).toString('base64') : undefined,
  };
}
