import { Duration, RemovalPolicy } from 'aws-cdk-lib';
import { Rule } from 'aws-cdk-lib/aws-events';
import { LambdaFunction as InvokeFunction } from 'aws-cdk-lib/aws-events-targets';
import { FilterPattern, LogGroup, MetricFilter } from 'aws-cdk-lib/aws-logs';
import type { StateMachine } from 'aws-cdk-lib/aws-stepfunctions';
import { Construct } from 'constructs';
import { TenantMove } from '../../workflows/tenant-move.ts';
import { TenantMoveCleanup } from '../../workflows/tenant-move-cleanup.ts';
import { acknowledgeWorkflow } from './acknowledge-finding.ts';
import { MoveFunctions, type MoveFunctionsProps } from './move-functions.ts';
import { raiseAlarm, serviceMetric } from './raise-alarm.ts';
import { TaskSchedule } from './task-schedule.ts';

/** The workflows of moves, and what looks after the moves whose executions ended before they did. */
export class Moves extends Construct {
  readonly stateMachine: StateMachine;
  readonly cleanup: StateMachine;
  readonly #props: MoveFunctionsProps;
  readonly #functions: MoveFunctions;

  constructor(scope: Construct, id: string, props: MoveFunctionsProps) {
    super(scope, id);
    this.#props = props;
    const functions = new MoveFunctions(this, 'Tasks', props);
    this.#functions = functions;
    const { tasks, cleanUp, deleteDatabase } = functions;
    const { graceMinutes, keepDedicated } = props.settings.config.moves;
    this.stateMachine = new TenantMove(this, 'Workflow', {
      tasks,
      logGroup: this.#logs('Logs'),
    }).stateMachine;
    this.cleanup = new TenantMoveCleanup(this, 'Cleanup', {
      cleanUp,
      deleteDatabase,
      grace: Duration.minutes(graceMinutes),
      keepDedicated: Duration.days(keepDedicated ?? 0),
      logGroup: this.#logs('CleanupLogs'),
    }).stateMachine;
    acknowledgeWorkflow(this.stateMachine.role, Object.values(tasks));
    acknowledgeWorkflow(this.cleanup.role, [cleanUp, deleteDatabase]);
    this.#recoverEnded();
    this.#raiseAlarms();
    this.#watchMismatches();
  }

  /** At once, when an execution ends badly; and every few minutes, should that event have found nobody. */
  #recoverEnded(): void {
    const { region } = this.#props;
    const { recover } = this.#functions;
    new Rule(this, 'Ended', {
      description: 'Executions of moves that ended badly',
      eventPattern: {
        source: ['aws.states'],
        detailType: ['Step Functions Execution Status Change'],
        detail: {
          stateMachineArn: [this.stateMachine.stateMachineArn, this.cleanup.stateMachineArn],
          status: ['ABORTED', 'TIMED_OUT', 'FAILED'],
        },
      },
      targets: [new InvokeFunction(recover, { retryAttempts: 4, maxEventAge: Duration.hours(1) })],
    });
    new TaskSchedule(this, 'Recovery', {
      name: `strata-${region.key}-move-recovery`,
      description: 'Looks for moves whose executions have ended',
      expression: 'rate(5 minutes)',
      punctual: true,
      task: recover,
    });
  }

  #raiseAlarms(): void {
    const { alarmTopicArn: topicArn } = this.#props.settings;
    raiseAlarm(this, 'Failed', {
      metric: this.stateMachine.metricFailed(),
      threshold: 1,
      description: 'tenant-move: an execution failed or was aborted by request. The move carries the reason.',
      topicArn,
    });
    raiseAlarm(this, 'TimedOut', {
      metric: this.stateMachine.metricTimedOut(),
      threshold: 1,
      description: 'tenant-move: an execution timed out. Its move is recovered; ask for it again.',
      topicArn,
    });
    raiseAlarm(this, 'CleanupFailed', {
      metric: this.cleanup.metricFailed(),
      threshold: 1,
      description:
        'tenant-move-cleanup: an execution failed. What a tenant left at its old place is still there.',
      topicArn,
    });
    raiseAlarm(this, 'CleanupTimedOut', {
      metric: this.cleanup.metricTimedOut(),
      threshold: 1,
      description: 'tenant-move-cleanup: an execution timed out. Look for a transaction that never ends.',
      topicArn,
    });
  }

  /** Whoever finds that both places differ stops there: nothing goes on until somebody has looked at them. */
  #watchMismatches(): void {
    const name = 'MoveMismatchAlerts';
    for (const task of this.#functions.comparing) {
      new MetricFilter(task, name, {
        logGroup: task.logGroup,
        // Wherever in the line: not everybody who tells it has a logger at hand.
        filterPattern: FilterPattern.anyTerm('MoveMismatchAlert'),
        metricNamespace: 'Strata',
        metricName: name,
        metricValue: '1',
      });
    }
    raiseAlarm(this, 'Mismatch', {
      metric: serviceMetric('Strata', name, {}, 'Sum'),
      threshold: 1,
      description:
        'A move found different data in both places and kept them. Search the logs of its tasks for MoveMismatchAlert.',
      topicArn: this.#props.settings.alarmTopicArn,
    });
  }

  #logs(id: string): LogGroup {
    return new LogGroup(this, id, {
      retention: this.#props.settings.config.logRetentionDays,
      removalPolicy: RemovalPolicy.RETAIN_ON_UPDATE_OR_DELETE,
    });
  }
}
