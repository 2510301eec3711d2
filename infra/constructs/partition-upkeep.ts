import { RemovalPolicy } from 'aws-cdk-lib';
import { LogGroup } from 'aws-cdk-lib/aws-logs';
import type { StateMachine } from 'aws-cdk-lib/aws-stepfunctions';
import { Construct } from 'constructs';
import { UPKEEP_TIMEOUT, PartitionUpkeep as Workflow } from '../../workflows/partition-upkeep.ts';
import type { RegionConfig } from '../config.ts';
import { acknowledgeWorkflow } from './acknowledge-finding.ts';
import { raiseWorkflowAlarm } from './alarms.ts';
import { type DataDatabases, OwnerTask } from './owner-task.ts';
import type { Registry } from './registry.ts';
import type { FunctionSettings } from './strata-function.ts';
import { TaskSchedule } from './task-schedule.ts';

export interface PartitionUpkeepProps extends DataDatabases {
  readonly settings: FunctionSettings;
  readonly region: RegionConfig;
  readonly registry: Registry;
}

/** Runs after the daily promotions (UTC), because it skips tenants that are being moved. */
const DAILY = 'cron(15 5 * * ? *)';
const HOURLY = 'rate(1 hour)';

/** The partition-upkeep state machine with its task function, its schedules and its alarm. */
export class PartitionUpkeep extends Construct {
  readonly stateMachine: StateMachine;

  constructor(scope: Construct, id: string, props: PartitionUpkeepProps) {
    super(scope, id);
    const { settings, region, registry } = props;
    const task = new OwnerTask(this, 'Task', {
      ...settings,
      databases: props,
      why: 'Old rows of every Enterprise tenant are deleted in its own database; their secrets are known by pattern only.',
      entry: 'tasks/partition-upkeep',
      description: 'Keeps data databases: month partitions, rows beyond their retention, skills summaries',
      timeout: UPKEEP_TIMEOUT,
      environment: { ...registry.readerEnvironment, REGION_KEY: region.key },
    });
    registry.grantRead(task);
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
      description: 'Month partitions, retention, and all skills summaries',
      expression: DAILY,
      task: this.stateMachine,
    });
    new TaskSchedule(this, 'Hourly', {
      name: `strata-${region.key}-summary-refresh`,
      description: 'Skills summaries whose rows have changed',
      expression: HOURLY,
      task: this.stateMachine,
      input: { work: 'summaries' },
    });
    raiseWorkflowAlarm(this, 'Failures', {
      stateMachines: [this.stateMachine],
      functions: [task],
      description:
        'partition-upkeep: something was left undone, an execution timed out, or the task was throttled. The execution’s cause, or its history, names the databases; search the log of the task for level ERROR.',
      topicArn: settings.alarmTopicArn,
    });
  }
}
