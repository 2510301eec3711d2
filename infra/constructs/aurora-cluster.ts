import { type CfnCondition, CfnDeletionPolicy, type CfnResource, RemovalPolicy } from 'aws-cdk-lib';
import { LogGroup } from 'aws-cdk-lib/aws-logs';
import {
  CfnDBCluster,
  CfnDBClusterParameterGroup,
  CfnDBInstance,
  CfnDBSubnetGroup,
} from 'aws-cdk-lib/aws-rds';
import { Construct } from 'constructs';
import { acknowledgeFinding } from './acknowledge-finding.ts';
import { raiseAlarm, serviceMetric } from './alarms.ts';
import type { DatabaseSecret } from './database-secret.ts';

/** PostgreSQL's port, also the only one that RDS Proxy offers. */
export const POSTGRES_PORT = 5432;
const ENGINE = 'aurora-postgresql';
/** The long-term-support minor of Aurora PostgreSQL 17. Automatic upgrades are off, because one would leave it. */
const ENGINE_VERSION = '17.7';

export interface AuroraClusterProps {
  /**
   * Physical name. It is fixed, so that the log group can be made before the cluster with a retention, and so that an
   * update that would replace the cluster, and leave its data behind, fails.
   */
  readonly identifier: string;
  readonly databaseName: string;
  readonly masterSecret: DatabaseSecret;
  readonly subnetIds: string[];
  readonly securityGroupId: string;
  readonly keyArn: string;
  /** Of writer and readers; `db.serverless` when absent. */
  readonly instanceClass?: string;
  /** Of its serverless instances; without effect on others. */
  readonly minCapacity: number;
  readonly maxCapacity: number;
  /** Availability zone of the writer; RDS chooses one when absent. */
  readonly zone?: string;
  /** Instances beside the writer; each may depend on a condition of the template. */
  readonly readers: readonly { readonly condition?: CfnCondition; readonly zone?: string }[];
  /** `data` clusters take part in tenant moves: they have logical replication. */
  readonly purpose: 'registry' | 'data';
  readonly backupRetentionDays: number;
  readonly logRetentionDays: number;
  readonly alarmTopicArn: string;
}

/**
 * One Aurora PostgreSQL cluster, of Serverless v2 instances unless they have another class. Registry, cells and
 * dedicated databases all use it. L1 resources only, because the dedicated template sets them from parameters.
 */
export class AuroraCluster extends Construct {
  readonly clusterArn: string;
  readonly identifier: string;
  readonly writerHost: string;
  readonly readerHost: string;
  /** A token, because only the deployed cluster has the value. */
  readonly port: string;
  readonly databaseName: string;
  /** Depend on it when the cluster must serve: a cluster without an instance does not. */
  readonly writer: CfnDBInstance;
  readonly resource: CfnDBCluster;

  constructor(scope: Construct, id: string, props: AuroraClusterProps) {
    super(scope, id);
    const logs = new LogGroup(this, 'Logs', {
      logGroupName: `/aws/rds/cluster/${props.identifier}/postgresql`,
      retention: props.logRetentionDays,
      removalPolicy: RemovalPolicy.RETAIN_ON_UPDATE_OR_DELETE,
    });
    const subnets = new CfnDBSubnetGroup(this, 'Subnets', {
      dbSubnetGroupDescription: `Isolated subnets of ${props.identifier}`,
      subnetIds: props.subnetIds,
    });
    const parameters = new CfnDBClusterParameterGroup(this, 'Parameters', {
      description: `Parameters of ${props.identifier}`,
      family: 'aurora-postgresql17',
      parameters: auroraParameters(props.purpose),
    });
    const cluster = new CfnDBCluster(this, 'Cluster', {
      dbClusterIdentifier: props.identifier,
      engine: ENGINE,
      engineVersion: ENGINE_VERSION,
      databaseName: props.databaseName,
      masterUsername: props.masterSecret.username,
      masterUserPassword: props.masterSecret.password,
      port: POSTGRES_PORT,
      dbSubnetGroupName: subnets.ref,
      vpcSecurityGroupIds: [props.securityGroupId],
      dbClusterParameterGroupName: parameters.ref,
      serverlessV2ScalingConfiguration: { minCapacity: props.minCapacity, maxCapacity: props.maxCapacity },
      enableHttpEndpoint: true,
      enableIamDatabaseAuthentication: false,
      storageEncrypted: true,
      kmsKeyId: props.keyArn,
      backupRetentionPeriod: props.backupRetentionDays,
      copyTagsToSnapshot: true,
      // No deletionProtection: ClusterProtection, or the workflow that launches a dedicated database, switches it on
      // later. A rolled-back creation could not delete a protected cluster.
      enableCloudwatchLogsExports: ['postgresql'],
    });
    retain(cluster);
    cluster.node.addDependency(logs);
    const instance = (name: string, zone: string | undefined): CfnDBInstance => {
      const created = new CfnDBInstance(this, name, {
        dbClusterIdentifier: cluster.ref,
        dbInstanceClass: props.instanceClass ?? 'db.serverless',
        ...(zone === undefined ? {} : { availabilityZone: zone }),
        engine: ENGINE,
        publiclyAccessible: false,
        autoMinorVersionUpgrade: false,
        enablePerformanceInsights: true,
        performanceInsightsKmsKeyId: props.keyArn,
      });
      retain(created);
      return created;
    };
    this.writer = instance('Writer', props.zone);
    props.readers.forEach(({ condition, zone }, index) => {
      const reader = instance(`Reader${index + 1}`, zone);
      // The first instance of a cluster becomes its writer.
      reader.node.addDependency(this.writer);
      if (condition) reader.cfnOptions.condition = condition;
    });
    this.resource = cluster;
    this.clusterArn = cluster.attrDbClusterArn;
    this.identifier = cluster.ref;
    this.writerHost = cluster.attrEndpointAddress;
    this.readerHost = cluster.attrReadEndpointAddress;
    this.port = cluster.attrEndpointPort;
    this.databaseName = props.databaseName;
    this.#raiseAlarms(props);
    acknowledgeFinding(
      cluster,
      'RDS10',
      'Deletion protection is switched on once the cluster is made: CloudFormation could not delete a protected cluster where the creation of its stack rolls back.',
    );
    acknowledgeFinding(
      cluster,
      'RDS6',
      'Database roles sign in with generated passwords from Secrets Manager: RDS Proxy and the Data API authenticate every tenant role that way.',
    );
  }

  #raiseAlarms({ identifier, purpose, alarmTopicArn: topicArn }: AuroraClusterProps): void {
    const metric = (name: string) =>
      serviceMetric('AWS/RDS', name, { DBClusterIdentifier: this.identifier }, 'Maximum');
    raiseAlarm(this, 'CpuAlarm', {
      metric: metric('CPUUtilization'),
      threshold: 85,
      periods: 3,
      description: `${identifier}: CPU above 85 % for 15 minutes. Look at the top SQL in Performance Insights.`,
      topicArn,
    });
    raiseAlarm(this, 'CapacityAlarm', {
      metric: metric('ACUUtilization'),
      threshold: 90,
      periods: 3,
      description: `${identifier}: 90 % of the maximum capacity for 15 minutes. Raise maxCapacity or add a cell.`,
      topicArn,
    });
    if (purpose === 'registry') return;
    raiseAlarm(this, 'ReplicationSlotAlarm', {
      metric: metric('OldestReplicationSlotLag'),
      threshold: 8 * 1024 ** 3,
      description: `${identifier}: a replication slot holds back 8 GiB of WAL. A tenant move is stuck or left its slot behind.`,
      topicArn,
    });
  }
}

function retain(resource: CfnResource): void {
  resource.cfnOptions.deletionPolicy = CfnDeletionPolicy.RETAIN_EXCEPT_ON_CREATE;
  resource.cfnOptions.updateReplacePolicy = CfnDeletionPolicy.RETAIN;
}

/**
 * Refuses sessions without TLS, and keeps passwords and row values out of the logs: statement text, parameters, and the
 * DETAIL and CONTEXT of errors (`Key (email)=(…) already exists`).
 */
const everywhere = {
  'rds.force_ssl': '1',
  ssl_min_protocol_version: 'TLSv1.2',
  password_encryption: 'scram-sha-256',
  log_statement: 'none',
  log_min_duration_statement: '-1',
  log_min_error_statement: 'panic',
  log_error_verbosity: 'terse',
  log_parameter_max_length: '0',
  log_parameter_max_length_on_error: '0',
  log_connections: '0',
  log_lock_waits: '1',
  log_temp_files: '102400',
};

/**
 * Tenant moves replicate one schema from cluster to cluster. The number of slots and the WAL that they retain are
 * limited, so that a forgotten move loses its slot instead of filling the cluster's storage.
 */
const replicating = {
  'rds.logical_replication': '1',
  max_replication_slots: '40',
  max_wal_senders: '40',
  max_logical_replication_workers: '24',
  max_sync_workers_per_subscription: '4',
  max_worker_processes: '48',
  // Megabytes.
  max_slot_wal_keep_size: '16384',
  // Kilobytes of one session: enough for the largest index build, and too little to fill the disk.
  temp_file_limit: '20971520',
};

/** Cluster parameters of the registry, or of a cluster that holds tenants' data. */
export function auroraParameters(purpose: 'registry' | 'data'): Record<string, string> {
  return purpose === 'data' ? { ...everywhere, ...replicating } : { ...everywhere };
}
