import { ArnFormat, type Duration, Stack } from 'aws-cdk-lib';
import type { IMetric } from 'aws-cdk-lib/aws-cloudwatch';
import { Grant } from 'aws-cdk-lib/aws-iam';
import { FilterPattern, MetricFilter } from 'aws-cdk-lib/aws-logs';
import { CfnDBClusterParameterGroup, CfnDBSubnetGroup } from 'aws-cdk-lib/aws-rds';
import { Construct } from 'constructs';
import { ALERTS, DEDICATED_NAMES, SIDE_CLUSTERS } from '../../functions/contracts/names.ts';
import type { RegionConfig } from '../config.ts';
import { acknowledgePattern } from './acknowledge-finding.ts';
import { serviceMetric } from './alarms.ts';
import { auroraParameters } from './aurora-cluster.ts';
import type { Cell } from './cell.ts';
import { grantOwners } from './owner-task.ts';
import type { RegionNetwork } from './region-network.ts';
import type { Registry } from './registry.ts';
import type { RunTimeSecrets } from './run-time-secrets.ts';
import { type FunctionSettings, StrataFunction } from './strata-function.ts';
import { TaskSchedule } from './task-schedule.ts';

export interface SideClustersProps {
  readonly settings: FunctionSettings;
  readonly region: RegionConfig;
  readonly registry: Registry;
  readonly network: RegionNetwork;
  readonly cells: readonly Cell[];
  readonly secrets: RunTimeSecrets;
  readonly timeout: Duration;
}

type Condition = Readonly<Record<string, string>>;

const RUN_TIME = 'Side clusters are named at run time, after their restores.';
/** A condition on the tag of side clusters and their instances: functions/aws/side-cluster.ts. */
const tagged = (key: 'RequestTag' | 'ResourceTag'): Condition => ({
  [`aws:${key}/strata:component`]: 'side-cluster',
});

/**
 * Side clusters: copies of clusters as of a past time, which restores to a point in time create and delete. This
 * construct has their parameter group and subnet group, the function that creates and deletes them, and the sweep that
 * deletes those of ended restores. They are in the network of the clusters, where task functions reach them; they have
 * no proxy.
 */
export class SideClusters extends Construct {
  readonly task: StrataFunction;
  /** Counts failed deletions of side clusters. */
  readonly alerts: IMetric;
  readonly #parameters: CfnDBClusterParameterGroup;
  readonly #subnets: CfnDBSubnetGroup;
  readonly #props: SideClustersProps;

  constructor(scope: Construct, id: string, props: SideClustersProps) {
    super(scope, id);
    this.#props = props;
    const { settings, region, registry, network } = props;
    this.#parameters = new CfnDBClusterParameterGroup(this, 'Parameters', {
      dbClusterParameterGroupName: `strata-side-${region.key}`,
      description: 'Copies of clusters for restores to a point in time',
      family: 'aurora-postgresql17',
      // A copy has the subscriptions of its source, and would consume the changes that are meant for the source.
      parameters: { ...auroraParameters('data'), max_logical_replication_workers: '0' },
    });
    this.#subnets = new CfnDBSubnetGroup(this, 'Subnets', {
      dbSubnetGroupName: `strata-side-${region.key}`,
      dbSubnetGroupDescription: 'Isolated subnets for side clusters',
      subnetIds: network.subnetIds,
    });
    this.task = new StrataFunction(this, 'task', {
      ...settings,
      entry: 'tasks/restore-side',
      description: 'Restore: Creates and deletes side clusters',
      timeout: props.timeout,
      watchedByWorkflow: true,
      environment: {
        ...registry.writerEnvironment,
        REGION_KEY: region.key,
        SIDE_SUBNET_GROUP: this.#subnets.ref,
        SIDE_SECURITY_GROUP: network.clusters.securityGroupId,
        SIDE_PARAMETER_GROUP: this.#parameters.ref,
      },
    });
    registry.grantWrite(this.task);
    this.#grantPasswords();
    this.#grantRestore();
    this.#grantDelete();
    new TaskSchedule(this, 'Sweep', {
      name: `strata-${region.key}-side-cluster-sweep`,
      description: 'Deletes side clusters whose restore has ended',
      expression: 'rate(5 minutes)',
      punctual: true,
      task: this.task,
    });
    this.alerts = this.#countAlerts();
  }

  /**
   * May read the passwords of database owners: the side cluster's master gets the current password of the source's
   * owner.
   */
  #grantPasswords(): void {
    grantOwners(
      this.task,
      this.#props,
      'Every Enterprise tenant’s own database may be copied; only a pattern of their secrets’ names is known.',
    );
  }

  /**
   * May copy the region's data clusters, but only with these parameters, and only into clusters with name and tag of
   * side clusters.
   */
  #grantRestore(): void {
    const { cells, secrets } = this.#props;
    const dedicated = this.#rds('cluster', `${DEDICATED_NAMES}*`);
    acknowledgePattern(
      this.task,
      dedicated,
      'Dedicated databases are named at run time, after their tenants.',
    );
    const sources = [...cells.map(({ cluster }) => this.#rds('cluster', cluster.identifier)), dedicated];
    const restore = 'rds:RestoreDBClusterToPointInTime';
    const groups = [this.#rds('og', 'default*'), this.#rds('pg', 'default*')];
    for (const group of groups) {
      acknowledgePattern(
        this.task,
        group,
        'RDS’s own default groups; their names contain the engine’s version.',
      );
    }
    this.#grant([restore], sources);
    this.#grant(
      [restore],
      [
        this.#rds('cluster-pg', this.#parameters.ref),
        this.#rds('subgrp', this.#subnets.ref),
        groups[0] as string,
      ],
    );
    this.#grant(['rds:CreateDBInstance'], groups);
    const made = [this.#rds('cluster', `${SIDE_CLUSTERS}*`), this.#rds('db', `${SIDE_CLUSTERS}*`)];
    for (const pattern of made) acknowledgePattern(this.task, pattern, RUN_TIME);
    this.#grant([restore, 'rds:CreateDBInstance', 'rds:AddTagsToResource'], made, tagged('RequestTag'));
    // RDS encrypts the copy with the key of the source, using the caller's rights.
    this.#grant(['kms:CreateGrant', 'kms:DescribeKey'], [secrets.keyArn], {
      'kms:ViaService': `rds.${Stack.of(this).region}.amazonaws.com`,
    });
  }

  /** May change and delete side clusters, but no other cluster. */
  #grantDelete(): void {
    const made = [this.#rds('cluster', `${SIDE_CLUSTERS}*`), this.#rds('db', `${SIDE_CLUSTERS}*`)];
    this.#grant(
      ['rds:DeleteDBCluster', 'rds:DeleteDBInstance', 'rds:ModifyDBCluster'],
      made,
      tagged('ResourceTag'),
    );
    const snapshots = this.#rds('cluster-snapshot', `${SIDE_CLUSTERS}*`);
    acknowledgePattern(this.task, snapshots, RUN_TIME);
    // RDS checks this right on the final snapshot even if no snapshot is taken.
    this.#grant(['rds:DeleteDBCluster'], [snapshots]);
    const all = [this.#rds('cluster', '*'), this.#rds('db', '*')];
    for (const pattern of all) {
      acknowledgePattern(
        this.task,
        pattern,
        'The sweep lists the clusters of the region to find side clusters.',
      );
    }
    this.#grant(['rds:DescribeDBClusters'], [all[0] as string]);
    this.#grant(['rds:DescribeDBInstances'], [all[1] as string]);
  }

  #grant(actions: string[], resourceArns: string[], equals?: Condition): void {
    Grant.addToPrincipal({
      grantee: this.task,
      actions,
      resourceArns,
      ...(equals ? { conditions: { StringEquals: equals } } : {}),
    });
  }

  #rds(resource: string, resourceName: string): string {
    return Stack.of(this).formatArn({
      service: 'rds',
      resource,
      resourceName,
      arnFormat: ArnFormat.COLON_RESOURCE_NAME,
    });
  }

  #countAlerts(): IMetric {
    const metricName = `${ALERTS.sideCluster}s`;
    new MetricFilter(this, metricName, {
      logGroup: this.task.logGroup,
      filterPattern: FilterPattern.stringValue('$.message', '=', ALERTS.sideCluster),
      metricNamespace: 'Strata',
      metricName,
      metricValue: '1',
    });
    return serviceMetric('Strata', metricName, {}, 'Sum');
  }
}
