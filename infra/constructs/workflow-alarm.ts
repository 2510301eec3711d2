import { Duration } from 'aws-cdk-lib';
import { type IMetric, MathExpression } from 'aws-cdk-lib/aws-cloudwatch';
import type { IFunction } from 'aws-cdk-lib/aws-lambda';
import type { StateMachine } from 'aws-cdk-lib/aws-stepfunctions';
import type { Construct } from 'constructs';
import { raiseAlarm } from './raise-alarm.ts';

export interface WorkflowAlarmProps {
  /** Its executions must neither fail nor time out. */
  readonly stateMachines?: readonly StateMachine[];
  /** Of the workflow; none must be throttled. */
  readonly functions: readonly IFunction[];
  /**
   * Those of the functions whose every error counts, a timeout included. Not the others: a workflow calls them again,
   * and refusals and passing errors are their daily work.
   */
  readonly failing?: readonly IFunction[];
  /** Further metrics that are above zero when something is wrong. */
  readonly others?: readonly IMetric[];
  /** What happened and what to look at first. */
  readonly description: string;
  readonly topicArn: string;
}

/** An alarm of CloudWatch takes at most this many metrics. */
const MOST_METRICS = 10;

/** One alarm for whatever goes wrong in a workflow: the sum over five minutes of what should never happen. */
export function raiseWorkflowAlarm(scope: Construct, id: string, props: WorkflowAlarmProps): void {
  const { stateMachines = [], functions, failing = [], others = [], description, topicArn } = props;
  const metrics = [
    ...stateMachines.flatMap((machine) => [machine.metricFailed(), machine.metricTimedOut()]),
    ...failing.map((one) => one.metricErrors()),
    ...functions.map((one) => one.metricThrottles()),
    ...others,
  ];
  if (metrics.length > MOST_METRICS)
    throw new Error(`${scope.node.path}/${id}: too many metrics for one alarm`);
  const usingMetrics = Object.fromEntries(metrics.map((metric, index) => [`m${index + 1}`, metric]));
  raiseAlarm(scope, id, {
    metric: new MathExpression({
      // Over an array, SUM leaves out metrics without data.
      expression: `SUM([${Object.keys(usingMetrics).join(', ')}])`,
      usingMetrics,
      label: 'Failures',
      period: Duration.minutes(5),
    }),
    threshold: 1,
    description,
    topicArn,
  });
}
