import { ArnFormat, Duration, Fn, RemovalPolicy, Stack } from 'aws-cdk-lib';
import { Rule } from 'aws-cdk-lib/aws-events';
import { LambdaFunction as InvokeFunction } from 'aws-cdk-lib/aws-events-targets';
import { LogGroup } from 'aws-cdk-lib/aws-logs';
import type { StateMachine } from 'aws-cdk-lib/aws-stepfunctions';
import { Construct } from 'constructs';
import { RestoreDrills } from '../../workflows/restore-drills.ts';
import { MOVE_TIMEOUTS } from '../../workflows/task-states.ts';
import { RESTORE_TIMEOUT, TenantRestore } from '../../workflows/tenant-restore.ts';
import { acknowledgePattern, acknowledgeWorkflow } from './acknowledge-finding.ts';
import { raiseWorkflowAlarm } from './alarms.ts';
import type { Backups } from './backups.ts';
import type { MoveFunctionsProps } from './move-functions.ts';
import type { Moves } from './moves.ts';
import { OwnerTask } from './owner-task.ts';
import { SideClusters } from './side-clusters.ts';
import type { StrataFunction } from './strata-function.ts';
import { TaskSchedule } from './task-schedule.ts';

export interface RestoresProps extends MoveFunctionsProps {
  readonly moves: Moves;
  readonly backups: Backups;
}

/** MiB; it buys CPU. The function decompresses and hashes a part as a stream, so it needs little memory. */
const BUSY_MEMORY = 1024;

/** In UTC, after the daily backups: drills restore the latest backups. */
const DAILY = 'cron(0 5 * * ? *)';

/** The workflows of restores and of drills. The recovery of moves recovers restores, too. */
export class Restores extends Construct {
  readonly stateMachine: StateMachine;
  readonly drills: StateMachine;

  constructor(scope: Construct, id: string, props: RestoresProps) {
    super(scope, id);
    const { settings, moves, backups } = props;
    const data = this.#dataTask(props);
    const side = new SideClusters(this, 'Side', { ...props, timeout: MOVE_TIMEOUTS.aws });
    this.stateMachine = new TenantRestore(this, 'Workflow', {
      tasks: moves.tasks,
      data,
      side: side.task,
      backup: backups.data,
      logGroup: this.#logs('Logs', props),
    }).stateMachine;
    this.drills = new RestoreDrills(this, 'Drills', {
      task: data,
      logGroup: this.#logs('DrillLogs', props),
    }).stateMachine;
    this.#watchDrills(data, props);
    acknowledgeWorkflow(this.stateMachine.role, [
      data,
      side.task,
      backups.data,
      ...Object.values(moves.tasks),
    ]);
    new Rule(this, 'Ended', {
      description: 'Executions of restores that ended without success',
      eventPattern: {
        source: ['aws.states'],
        detailType: ['Step Functions Execution Status Change'],
        detail: {
          stateMachineArn: [this.stateMachine.stateMachineArn],
          status: ['ABORTED', 'TIMED_OUT', 'FAILED'],
        },
      },
      targets: [new InvokeFunction(moves.tasks.data, { retryAttempts: 4, maxEventAge: Duration.hours(1) })],
    });
    raiseWorkflowAlarm(this, 'Failures', {
      stateMachines: [this.stateMachine],
      functions: [data, side.task],
      others: [side.alerts],
      description:
        'tenant-restore: an execution failed, was aborted by request or timed out; or a side cluster could not be deleted; or a task was throttled. The reason is in the restore; the tenant’s data was not replaced. Search the logs of restore-data, restore-side and move-data for level ERROR. Side clusters are named strata-side-*; each one that is left costs money.',
      topicArn: settings.alarmTopicArn,
    });
  }

  #watchDrills(data: StrataFunction, { settings, region }: RestoresProps): void {
    acknowledgeWorkflow(this.drills.role, [data]);
    // CDK makes a policy for the items' executions that is no child of the role.
    const workflow = this.drills.node.scope as Construct;
    const executions = Stack.of(this).formatArn({
      service: 'states',
      resource: 'execution',
      resourceName: Fn.select(6, Fn.split(':', this.drills.stateMachineArn)),
      arnFormat: ArnFormat.COLON_RESOURCE_NAME,
    });
    for (const pattern of [`${executions}:*`, `${executions}/*:*`]) {
      acknowledgePattern(
        workflow,
        pattern,
        'Executions are named at run time; the pattern covers this state machine only.',
      );
    }
    new TaskSchedule(this, 'Daily', {
      name: `strata-${region.key}-restore-drills`,
      description: 'Restores some backups into scratch schemas, to prove that they can be restored',
      expression: DAILY,
      task: this.drills,
    });
    raiseWorkflowAlarm(this, 'DrillFailures', {
      stateMachines: [this.drills],
      functions: [],
      description:
        'restore-drills: a backup could not be restored. The cause names tenants, and the reason is in each backup. Back up these tenants at once, and look at the backups’ objects.',
      topicArn: settings.alarmTopicArn,
    });
  }

  #logs(id: string, { settings }: RestoresProps): LogGroup {
    return new LogGroup(this, id, {
      retention: settings.config.logRetentionDays,
      removalPolicy: RemovalPolicy.RETAIN_ON_UPDATE_OR_DELETE,
    });
  }

  /** It signs in as the owner of any data database of the region, and reads backups. It writes no backups. */
  #dataTask(props: RestoresProps): StrataFunction {
    const { settings, region, registry, fieldKeys, backups } = props;
    const task = new OwnerTask(this, 'data', {
      ...settings,
      databases: props,
      why: 'Every Enterprise tenant’s own database may be restored; only a pattern of their secrets’ names is known.',
      entry: 'tasks/restore-data',
      description: 'Restore: Plans restores and fills schemas from backups',
      timeout: RESTORE_TIMEOUT,
      memorySize: BUSY_MEMORY,
      environment: {
        ...registry.writerEnvironment,
        REGION_KEY: region.key,
        BACKUP_BUCKET: backups.bucket.bucket.bucketName,
        ...fieldKeys.environment,
      },
    });
    registry.grantWrite(task);
    backups.bucket.grantRead(task);
    // A clone's fields are encrypted for the clone.
    fieldKeys.grantUse(task);
    return task;
  }
}
