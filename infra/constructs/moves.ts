import { Duration, RemovalPolicy } from 'aws-cdk-lib';
import type { IMetric } from 'aws-cdk-lib/aws-cloudwatch';
import { Rule } from 'aws-cdk-lib/aws-events';
import { LambdaFunction as InvokeFunction } from 'aws-cdk-lib/aws-events-targets';
import { FilterPattern, LogGroup, MetricFilter } from 'aws-cdk-lib/aws-logs';
import type { StateMachine } from 'aws-cdk-lib/aws-stepfunctions';
import { Construct } from 'constructs';
import { ALERTS } from '../../functions/contracts/names.ts';
import { TenantMove } from '../../workflows/tenant-move.ts';
import { TenantMoveCleanup } from '../../workflows/tenant-move-cleanup.ts';
import { acknowledgeWorkflow } from './acknowledge-finding.ts';
import { raiseAlarm, raiseWorkflowAlarm, serviceMetric } from './alarms.ts';
import { MoveFunctions, type MoveFunctionsProps } from './move-functions.ts';
import { TaskSchedule } from './task-schedule.ts';

/** The workflows of moves, and the recovery of moves whose executions ended early. */
export class Moves extends Construct {
  readonly stateMachine: StateMachine;
  readonly cleanup: StateMachine;
  /** Restores are moves: their workflow calls these tasks too. */
  readonly tasks: MoveFunctions['tasks'];
  readonly #props: MoveFunctionsProps;

  constructor(scope: Construct, id: string, props: MoveFunctionsProps) {
    super(scope, id);
    this.#props = props;
    const { tasks } = new MoveFunctions(this, 'Tasks', props);
    this.tasks = tasks;
    const { moves, backups } = props.settings.config;
    const { graceMinutes, keepDedicated } = moves;
    this.stateMachine = new TenantMove(this, 'Workflow', {
      tasks,
      logGroup: this.#logs('Logs'),
    }).stateMachine;
    this.cleanup = new TenantMoveCleanup(this, 'Cleanup', {
      tasks,
      grace: Duration.minutes(graceMinutes),
      keepDedicated: Duration.days(keepDedicated ?? 0),
      keepReplaced: Duration.hours(backups.undoHours),
      logGroup: this.#logs('CleanupLogs'),
    }).stateMachine;
    acknowledgeWorkflow(this.stateMachine.role, Object.values(tasks));
    acknowledgeWorkflow(this.cleanup.role, [tasks.aws, tasks.data]);
    this.#recoverEnded();
    this.#raiseAlarms();
  }

  /** At once when an execution does not succeed, and every few minutes in case that event was lost. */
  #recoverEnded(): void {
    const { region } = this.#props;
    const { data } = this.tasks;
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
      targets: [new InvokeFunction(data, { retryAttempts: 4, maxEventAge: Duration.hours(1) })],
    });
    new TaskSchedule(this, 'Recovery', {
      name: `strata-${region.key}-move-recovery`,
      description: 'Looks for moves whose executions have ended',
      expression: 'rate(5 minutes)',
      punctual: true,
      task: data,
    });
  }

  #raiseAlarms(): void {
    const { alarmTopicArn: topicArn } = this.#props.settings;
    const { tasks } = this;
    raiseWorkflowAlarm(this, 'Failures', {
      stateMachines: [this.stateMachine, this.cleanup],
      functions: Object.values(tasks),
      others: [this.#countAlerts(ALERTS.moveRecovery)],
      description:
        'tenant-move or tenant-move-cleanup: an execution failed, was aborted by request or timed out, a move could not be recovered, or a task was throttled. A move carries its reason; what a clean-up left is still there. Search the log of move-data for level ERROR.',
      topicArn,
    });
    // Such a move stays as it is until an operator has resolved it.
    raiseAlarm(this, 'Mismatch', {
      metric: this.#countAlerts(ALERTS.moveMismatch),
      threshold: 1,
      description:
        'A move found different data in both places and kept them. Search the log of move-data for MoveMismatchAlert.',
      topicArn,
    });
  }

  /** Counts the word in the log of the phases that sign in to databases. */
  #countAlerts(word: string): IMetric {
    const { data } = this.tasks;
    const metricName = `${word}s`;
    new MetricFilter(this, metricName, {
      logGroup: data.logGroup,
      // Anywhere in the line, because not all code that finds a mismatch has a logger.
      filterPattern: FilterPattern.anyTerm(word),
      metricNamespace: 'Strata',
      metricName,
      metricValue: '1',
    });
    return serviceMetric('Strata', metricName, {}, 'Sum');
  }

  #logs(id: string): LogGroup {
    return new LogGroup(this, id, {
      retention: this.#props.settings.config.logRetentionDays,
      removalPolicy: RemovalPolicy.RETAIN_ON_UPDATE_OR_DELETE,
    });
  }
}
