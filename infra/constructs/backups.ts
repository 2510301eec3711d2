import { ArnFormat, Duration, Fn, RemovalPolicy, Stack } from 'aws-cdk-lib';
import type { IMetric } from 'aws-cdk-lib/aws-cloudwatch';
import { Rule } from 'aws-cdk-lib/aws-events';
import { LambdaFunction as InvokeFunction } from 'aws-cdk-lib/aws-events-targets';
import { Grant } from 'aws-cdk-lib/aws-iam';
import type { IKey } from 'aws-cdk-lib/aws-kms';
import { FilterPattern, LogGroup, MetricFilter } from 'aws-cdk-lib/aws-logs';
import type { StateMachine } from 'aws-cdk-lib/aws-stepfunctions';
import { Construct } from 'constructs';
import { copiedTiers } from '../../functions/contracts/backup-policy.ts';
import type { BackupEnvironment, FunctionCode } from '../../functions/contracts/environments.ts';
import { ALERTS, STATE_MACHINES } from '../../functions/contracts/names.ts';
import { FleetBackup } from '../../workflows/fleet-backup.ts';
import { BACKUP_TIMEOUTS, type BackupTasks, TenantBackup } from '../../workflows/tenant-backup.ts';
import type { RegionConfig } from '../config.ts';
import { acknowledgePattern, acknowledgeWorkflow } from './acknowledge-finding.ts';
import { raiseWorkflowAlarm, serviceMetric } from './alarms.ts';
import { BackupBucket } from './backup-bucket.ts';
import type { Cell } from './cell.ts';
import { grantOwners } from './owner-task.ts';
import type { RegionNetwork } from './region-network.ts';
import type { Registry } from './registry.ts';
import type { RunTimeSecrets } from './run-time-secrets.ts';
import { type FunctionNetwork, type FunctionSettings, StrataFunction } from './strata-function.ts';
import { TaskSchedule } from './task-schedule.ts';

export interface BackupsProps {
  readonly settings: FunctionSettings;
  readonly region: RegionConfig;
  readonly registry: Registry;
  readonly network: RegionNetwork;
  readonly cells: readonly Cell[];
  readonly secrets: RunTimeSecrets;
  readonly key: IKey;
}

type BackupTaskProps = FunctionCode<`tasks/backup-${keyof BackupTasks}`> & {
  readonly description: string;
  readonly timeout: Duration;
  readonly memorySize?: number;
  readonly network?: FunctionNetwork;
};

/**
 * In UTC. Backups read a lot: they run before the daily promotions, and after the working day in most of the region.
 */
const DAILY = 'cron(0 0 * * ? *)';
/** Workflows whose records `backup-registry` ends if their executions end without doing so. */
const RECOVERED = [STATE_MACHINES.backup, STATE_MACHINES.restore, STATE_MACHINES.export] as const;
/** MiB; it buys CPU. The function compresses and hashes a part as a stream, so it needs little memory. */
const BUSY_MEMORY = 1024;

/**
 * Backups of a region's tenants: bucket, workflows, the schedule of the daily run, and the recovery of backups whose
 * executions ended early.
 */
export class Backups extends Construct {
  readonly bucket: BackupBucket;
  readonly stateMachine: StateMachine;
  readonly fleet: StateMachine;
  /** Restores to a point in time use it to make backups. */
  readonly data: StrataFunction;
  readonly #props: BackupsProps;

  constructor(scope: Construct, id: string, props: BackupsProps) {
    super(scope, id);
    this.#props = props;
    const { settings, region, key } = props;
    const { backups, logRetentionDays } = settings.config;
    const second = backups.secondRegions?.[region.key];
    this.bucket = new BackupBucket(this, 'Bucket', {
      key,
      logRetentionDays,
      versioned: second !== undefined,
      ...(backups.objectLock ? { objectLock: backups.objectLock } : {}),
    });
    if (second !== undefined) {
      const copied = copiedTiers({ copyBusiness: backups.copyBusiness ?? false });
      this.bucket.replicate(region.key, second, copied);
    }

    this.data = this.#dataTask();
    const tasks = { registry: this.#registryTask(), data: this.data };
    this.stateMachine = new TenantBackup(this, 'Workflow', {
      tasks,
      logGroup: this.#logs('Logs'),
    }).stateMachine;
    acknowledgeWorkflow(this.stateMachine.role, Object.values(tasks));
    this.fleet = new FleetBackup(this, 'Fleet', {
      task: tasks.registry,
      backup: this.stateMachine,
      logGroup: this.#logs('FleetLogs'),
    }).stateMachine;
    this.#acknowledgeFleet(tasks.registry);
    new TaskSchedule(this, 'Daily', {
      name: `strata-${region.key}-fleet-backup`,
      description: 'Backs up every tenant that is due, and deletes expired backups',
      expression: DAILY,
      task: this.fleet,
    });
    this.#recoverEnded(tasks.registry);
    this.#raiseAlarms(tasks);
  }

  /** It signs in to no data database, and lists and deletes objects without reading them. */
  #registryTask(): StrataFunction {
    const task = this.#task({
      entry: 'tasks/backup-registry',
      description: 'Backup: Records, ends and recovers backups, finds due tenants, deletes expired backups',
      timeout: BACKUP_TIMEOUTS.registry,
      environment: this.#environment,
    });
    this.bucket.grantExpire(task);
    const executions = RECOVERED.map((name) => this.#executions(`${name}:*`));
    for (const pattern of executions) {
      acknowledgePattern(
        task,
        pattern,
        'Executions are named at run time; the pattern covers one state machine only.',
      );
    }
    Grant.addToPrincipal({
      grantee: task,
      actions: ['states:DescribeExecution'],
      resourceArns: executions,
    });
    return task;
  }

  /** It signs in as the owner of any data database of the region, and writes objects. */
  #dataTask(): StrataFunction {
    const { settings, network } = this.#props;
    const task = this.#task({
      entry: 'tasks/backup-data',
      description: 'Backup: Copies tenants’ rows to the backup bucket',
      timeout: BACKUP_TIMEOUTS.data,
      memorySize: BUSY_MEMORY,
      network: network.forTasks,
      environment: {
        ...this.#environment,
        BACKUP_OBJECT_LOCK: settings.config.backups.objectLock?.toUpperCase() ?? '',
      },
    });
    this.bucket.grantWrite(task);
    this.bucket.grantSealCopies(task);
    grantOwners(
      task,
      this.#props,
      'Every Enterprise tenant’s own database is backed up; only a pattern of their secrets’ names is known.',
    );
    return task;
  }

  get #environment(): BackupEnvironment {
    const { registry, region } = this.#props;
    return {
      ...registry.writerEnvironment,
      REGION_KEY: region.key,
      BACKUP_BUCKET: this.bucket.bucket.bucketName,
    };
  }

  #task(props: BackupTaskProps): StrataFunction {
    const { settings, registry } = this.#props;
    const id = props.entry.replace('tasks/backup-', '');
    const task = new StrataFunction(this, id, { ...settings, ...props, watchedByWorkflow: true });
    registry.grantWrite(task);
    return task;
  }

  /**
   * Recovery runs at once when an execution ends without success, and every few minutes in case that event was lost.
   */
  #recoverEnded(task: StrataFunction): void {
    new Rule(this, 'Ended', {
      description: 'Executions of backups, restores and exports that ended without success',
      eventPattern: {
        source: ['aws.states'],
        detailType: ['Step Functions Execution Status Change'],
        detail: {
          stateMachineArn: RECOVERED.map((name) => this.#stateMachine(name)),
          status: ['ABORTED', 'TIMED_OUT', 'FAILED'],
        },
      },
      targets: [new InvokeFunction(task, { retryAttempts: 4, maxEventAge: Duration.hours(1) })],
    });
    new TaskSchedule(this, 'Recovery', {
      name: `strata-${this.#props.region.key}-backup-recovery`,
      description: 'Ends backups and exports whose executions have ended',
      expression: 'rate(5 minutes)',
      punctual: true,
      task,
    });
  }

  #raiseAlarms(tasks: Record<keyof BackupTasks, StrataFunction>): void {
    const { alarmTopicArn: topicArn } = this.#props.settings;
    raiseWorkflowAlarm(this, 'Failures', {
      stateMachines: [this.stateMachine],
      functions: Object.values(tasks),
      others: [this.#countRecoveryAlerts(tasks.registry)],
      description:
        'tenant-backup: an execution failed or timed out, so a tenant has no backup of that time; or an ended execution could not be recovered; or a task was throttled. The reason is in the backup; search the logs of backup-data and backup-registry for level ERROR.',
      topicArn,
    });
    raiseWorkflowAlarm(this, 'FleetFailures', {
      stateMachines: [this.fleet],
      functions: [],
      description:
        'fleet-backup: the daily run did not back up every tenant that was due, or could not delete expired backups. Its cause names tenants. Start it again to back up the tenants that are still due.',
      topicArn,
    });
  }

  /** Counts failures of recovery. It is tried again; until it succeeds, the tenant may get no other backup. */
  #countRecoveryAlerts({ logGroup }: StrataFunction): IMetric {
    const metricName = `${ALERTS.backupRecovery}s`;
    new MetricFilter(this, metricName, {
      logGroup,
      filterPattern: FilterPattern.stringValue('$.message', '=', ALERTS.backupRecovery),
      metricNamespace: 'Strata',
      metricName,
      metricValue: '1',
    });
    return serviceMetric('Strata', metricName, {}, 'Sum');
  }

  /**
   * Acknowledges the rights that CDK gives the fleet's state machine: to run groups and backups of tenants as
   * executions.
   */
  #acknowledgeFleet(task: StrataFunction): void {
    acknowledgeWorkflow(this.fleet.role, [task]);
    // CDK makes a policy for the groups that is no child of the role.
    const workflow = this.fleet.node.scope as Construct;
    const executionsOf = ({ stateMachineArn }: StateMachine) =>
      this.#executions(Fn.select(6, Fn.split(':', stateMachineArn)));
    const patterns = [
      `${executionsOf(this.stateMachine)}*`,
      `${executionsOf(this.fleet)}:*`,
      `${executionsOf(this.fleet)}/*:*`,
    ];
    for (const pattern of patterns) {
      acknowledgePattern(
        workflow,
        pattern,
        'Executions are named at run time; the pattern covers this state machine and tenant-backup only.',
      );
    }
  }

  /** By name, because the workflows of exports and restores are created after this construct. */
  #stateMachine(name: string): string {
    return Stack.of(this).formatArn({
      service: 'states',
      resource: 'stateMachine',
      resourceName: name,
      arnFormat: ArnFormat.COLON_RESOURCE_NAME,
    });
  }

  /** @param name of a state machine, or a pattern of executions. */
  #executions(name: string): string {
    return Stack.of(this).formatArn({
      service: 'states',
      resource: 'execution',
      resourceName: name,
      arnFormat: ArnFormat.COLON_RESOURCE_NAME,
    });
  }

  #logs(id: string): LogGroup {
    return new LogGroup(this, id, {
      retention: this.#props.settings.config.logRetentionDays,
      removalPolicy: RemovalPolicy.RETAIN_ON_UPDATE_OR_DELETE,
    });
  }
}
