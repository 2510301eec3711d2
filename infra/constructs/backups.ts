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

/** Before the daily promotions (UTC) and after the working day of most of the region: a backup reads a lot. */
const DAILY = 'cron(0 0 * * ? *)';
/** Workflows whose records are ended by `backup-registry`, should their executions end without them. */
const RECOVERED = [STATE_MACHINES.backup, STATE_MACHINES.restore, STATE_MACHINES.export] as const;
/** A part of a table is compressed and hashed on its way, in chunks. */
const BUSY_MEMORY = 1024;

/**
 * Backups of a region's tenants: bucket, workflows, what starts the daily run, and what looks after backups whose
 * executions ended before they did.
 */
export class Backups extends Construct {
  readonly bucket: BackupBucket;
  readonly stateMachine: StateMachine;
  readonly fleet: StateMachine;
  /** Restores to a point in time make backups with it. */
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

  /** It signs in to no database. Of objects it knows the names only. */
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
        'Executions are named at run time; the pattern is bound to the one state machine.',
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
    const { settings, network, cells, secrets } = this.#props;
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
    for (const cell of cells) cell.grantOwner(task);
    secrets.grantReadDedicated(
      task,
      'Every Enterprise tenant’s own database is backed up; their secrets are known by pattern only.',
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

  /** At once, when an execution ends badly; and every few minutes, in case that event was lost. */
  #recoverEnded(task: StrataFunction): void {
    new Rule(this, 'Ended', {
      description: 'Executions of backups and exports that ended badly',
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
      description: 'Looks for backups and exports whose executions have ended',
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
        'tenant-backup: an execution failed or timed out, so a tenant has no backup of that time, one that had ended could not be recovered, or a task was throttled. The backup carries its reason; search the logs of backup-data and backup-registry for level ERROR.',
      topicArn,
    });
    raiseWorkflowAlarm(this, 'FleetFailures', {
      stateMachines: [this.fleet],
      functions: [],
      description:
        'fleet-backup: the daily run did not back up every tenant that was due, or could not delete expired backups. Its cause names tenants; start it again to go on with those that are still due.',
      topicArn,
    });
  }

  /** How often recovery has failed. It is tried again, and until then the tenant gets no other backup. */
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

  /** What CDK lets the fleet's state machine do: run its groups, and the backups of tenants, as executions. */
  #acknowledgeFleet(task: StrataFunction): void {
    acknowledgeWorkflow(this.fleet.role, [task]);
    // The policy of the groups is beside the role.
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
        'Executions are named at run time; the pattern is bound to this state machine and to tenant-backup.',
      );
    }
  }

  /** By name: the workflow of exports is made of the backups. */
  #stateMachine(name: string): string {
    return Stack.of(this).formatArn({
      service: 'states',
      resource: 'stateMachine',
      resourceName: name,
      arnFormat: ArnFormat.COLON_RESOURCE_NAME,
    });
  }

  /** @param name of a state machine, or what executions are named by. */
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
