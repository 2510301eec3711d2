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
    const { tasks } = functions;
    const { graceMinutes, keepDedicated } = props.settings.config.moves;
    this.stateMachine = new TenantMove(this, 'Workflow', {
      tasks,
      logGroup: this.#logs('Logs'),
    }).stateMachine;
    this.cleanup = new TenantMoveCleanup(this, 'Cleanup', {
      tasks,
      grace: Duration.minutes(graceMinutes),
      keepDedicated: Duration.days(keepDedicated ?? 0),
      logGroup: this.#logs('CleanupLogs'),
    }).stateMachine;
    acknowledgeWorkflow(this.stateMachine.role, Object.values(tasks));
    acknowledgeWorkflow(this.cleanup.role, [tasks.aws, tasks.data]);
    this.#recoverEnded();
    this.#raiseAlarms();
  }

  /** At once, when an execution ends badly; and every few minutes, should that event have found nobody. */
  #recoverEnded(): void {
    const { region } = this.#props;
    const { data } = this.#functions.tasks;
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
    const { tasks } = this.#functions;
    raiseWorkflowAlarm(this, 'Failures', {
      stateMachines: [this.stateMachine, this.cleanup],
      functions: Object.values(tasks),
      others: [this.#countAlerts(ALERTS.moveRecovery)],
      description:
        'tenant-move or tenant-move-cleanup: an execution failed, was aborted by request or timed out, a move could not be recovered, or a task was throttled. A move carries its reason; what a clean-up left is still there. Search the log of move-data for level ERROR.',
      topicArn,
    });
    // Nothing goes on with such a move until a person has looked at it.
    raiseAlarm(this, 'Mismatch', {
      metric: this.#countAlerts(ALERTS.moveMismatch),
      threshold: 1,
      description:
        'A move found different data in both places and kept them. Search the log of move-data for MoveMismatchAlert.',
      topicArn,
    });
  }

  /** How often the word is in the log of the phases that sign in to databases. */
  #countAlerts(word: string): IMetric {
    const { data } = this.#functions.tasks;
    const metricName = `${word}s`;
    new MetricFilter(this, metricName, {
      logGroup: data.logGroup,
      // Wherever in the line: not all code that finds a mismatch has a logger at hand.
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
