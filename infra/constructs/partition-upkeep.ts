import { RemovalPolicy } from 'aws-cdk-lib';
import { LogGroup } from 'aws-cdk-lib/aws-logs';
import type { StateMachine } from 'aws-cdk-lib/aws-stepfunctions';
import { Construct } from 'constructs';
import { UPKEEP_TIMEOUT, PartitionUpkeep as Workflow } from '../../workflows/partition-upkeep.ts';
import { SummaryRefresh } from '../../workflows/summary-refresh.ts';
import type { RegionConfig } from '../config.ts';
import { acknowledgeWorkflow } from './acknowledge-finding.ts';
import { raiseWorkflowAlarm } from './alarms.ts';
import type { Cell } from './cell.ts';
import type { RegionNetwork } from './region-network.ts';
import type { Registry } from './registry.ts';
import type { RunTimeSecrets } from './run-time-secrets.ts';
import { type FunctionSettings, StrataFunction } from './strata-function.ts';
import { TaskSchedule } from './task-schedule.ts';

export interface PartitionUpkeepProps {
  readonly settings: FunctionSettings;
  readonly region: RegionConfig;
  readonly registry: Registry;
  readonly network: RegionNetwork;
  readonly cells: readonly Cell[];
  readonly secrets: RunTimeSecrets;
}

/** Runs after the daily promotions (UTC), because it skips tenants that are being moved. */
const DAILY = 'cron(15 5 * * ? *)';
const HOURLY = 'rate(1 hour)';
/** Also where no change was noticed: the database's counters of changes are not kept in a crash. */
const DAILY_SUMMARIES = 'cron(35 5 * * ? *)';

/**
 * The state machines that keep the data databases, partition-upkeep and summary-refresh, with their task function, their
 * schedules and their alarm.
 */
export class PartitionUpkeep extends Construct {
  readonly stateMachine: StateMachine;

  constructor(scope: Construct, id: string, props: PartitionUpkeepProps) {
    super(scope, id);
    const { settings, region, registry } = props;
    const task = new StrataFunction(this, 'Task', {
      ...settings,
      entry: 'tasks/partition-upkeep',
      description: 'Month partitions, rows beyond their retention, and skills summaries of data databases',
      timeout: UPKEEP_TIMEOUT,
      network: props.network.forTasks,
      environment: { ...registry.readerEnvironment, REGION_KEY: region.key },
      watchedByWorkflow: true,
    });
    registry.grantRead(task);
    for (const cell of props.cells) cell.grantOwner(task);
    props.secrets.grantReadDedicated(
      task,
      'Old rows of every Enterprise tenant are deleted in its own database; their secrets are known by pattern only.',
    );
    this.stateMachine = new Workflow(this, 'Workflow', {
      task,
      logGroup: new LogGroup(this, 'Logs', {
        retention: settings.config.logRetentionDays,
        removalPolicy: RemovalPolicy.RETAIN,
      }),
    }).stateMachine;
    acknowledgeWorkflow(this.stateMachine.role, [task]);
    new TaskSchedule(this, 'Daily', {
      name: `strata-${region.key}-partition-upkeep`,
      description: 'Month partitions and retention',
      expression: DAILY,
      task: this.stateMachine,
    });
    const summaries = this.#summaries(task, props);
    raiseWorkflowAlarm(this, 'Failures', {
      stateMachines: [this.stateMachine, summaries],
      functions: [task],
      description:
        'partition-upkeep or summary-refresh: something was left undone, an execution timed out, or the task was throttled. The execution’s cause, or its history, names the databases; search the log of the task for level ERROR.',
      topicArn: settings.alarmTopicArn,
    });
  }

  /** The refresh of summaries: the same function, because it needs the same rights. */
  #summaries(task: StrataFunction, { settings, region }: PartitionUpkeepProps): StateMachine {
    const { stateMachine } = new SummaryRefresh(this, 'Summaries', {
      task,
      logGroup: new LogGroup(this, 'SummariesLogs', {
        retention: settings.config.logRetentionDays,
        removalPolicy: RemovalPolicy.RETAIN,
      }),
    });
    acknowledgeWorkflow(stateMachine.role, [task]);
    new TaskSchedule(this, 'Hourly', {
      name: `strata-${region.key}-summary-refresh`,
      description: 'Skills summaries whose rows have changed',
      expression: HOURLY,
      task: stateMachine,
    });
    new TaskSchedule(this, 'DailySummaries', {
      name: `strata-${region.key}-summary-rebuild`,
      description: 'All skills summaries',
      expression: DAILY_SUMMARIES,
      task: stateMachine,
      input: { always: true },
    });
    return stateMachine;
  }
}
