import { Duration, Stack, Token } from 'aws-cdk-lib';
import {
  Alarm,
  ComparisonOperator,
  type IMetric,
  MathExpression,
  Metric,
  TreatMissingData,
} from 'aws-cdk-lib/aws-cloudwatch';
import { PolicyStatement, ServicePrincipal } from 'aws-cdk-lib/aws-iam';
import type { IFunction } from 'aws-cdk-lib/aws-lambda';
import { Topic } from 'aws-cdk-lib/aws-sns';
import { EmailSubscription } from 'aws-cdk-lib/aws-sns-subscriptions';
import type { StateMachine } from 'aws-cdk-lib/aws-stepfunctions';
import type { Construct } from 'constructs';
import type { DataKey } from './data-key.ts';

export interface AlarmProps {
  readonly metric: IMetric;
  /** The alarm is raised at this value and above. */
  readonly threshold: number;
  /** The alarm is raised at the threshold and below instead. */
  readonly below?: boolean;
  /** Periods of the metric in a row, default 1. */
  readonly periods?: number;
  /** Missing data raises the alarm too. */
  readonly whenMissing?: boolean;
  /** What happened and what to check first: this is the text of the message. */
  readonly description: string;
  readonly topicArn: string;
}

/**
 * `Strata-us-cell-us-1-Cell-Database-CpuAlarm`, so that the region's dashboard refers to the alarms of other stacks by name.
 * undefined in the template of dedicated databases, of which there are many stacks.
 */
export function alarmNameOf(stack: Stack, path: string): string | undefined {
  return Token.isUnresolved(stack.region) ? undefined : path.replaceAll('/', '-');
}

/** An alarm that notifies the topic when it starts and when it ends. */
export function raiseAlarm(scope: Construct, id: string, props: AlarmProps): Alarm {
  const alarmName = alarmNameOf(Stack.of(scope), `${scope.node.path}/${id}`);
  const alarm = new Alarm(scope, id, {
    ...(alarmName ? { alarmName } : {}),
    metric: props.metric,
    threshold: props.threshold,
    evaluationPeriods: props.periods ?? 1,
    comparisonOperator: props.below
      ? ComparisonOperator.LESS_THAN_OR_EQUAL_TO_THRESHOLD
      : ComparisonOperator.GREATER_THAN_OR_EQUAL_TO_THRESHOLD,
    treatMissingData: props.whenMissing ? TreatMissingData.BREACHING : TreatMissingData.NOT_BREACHING,
    alarmDescription: props.description,
  });
  const toTopic = { bind: () => ({ alarmActionArn: props.topicArn }) };
  alarm.addAlarmAction(toTopic);
  alarm.addOkAction(toTopic);
  return alarm;
}

/** A metric of an AWS service over five minutes. */
export function serviceMetric(
  namespace: string,
  metricName: string,
  dimensionsMap: Record<string, string>,
  statistic: 'Average' | 'Maximum' | 'Minimum' | 'Sum',
): Metric {
  return new Metric({ namespace, metricName, dimensionsMap, statistic, period: Duration.minutes(5) });
}

export interface WorkflowAlarmProps {
  /** State machine whose executions must neither fail nor time out. */
  readonly stateMachines?: readonly StateMachine[];
  /** Functions of the workflow; none may be throttled. */
  readonly functions: readonly IFunction[];
  /**
   * Functions of which every error counts, including a time-out. Not the others: a workflow calls them again, and
   * refusals and transient errors are normal there.
   */
  readonly failing?: readonly IFunction[];
  /** Further metrics that are above zero when something is wrong. */
  readonly others?: readonly IMetric[];
  /** What happened and what to check first. */
  readonly description: string;
  readonly topicArn: string;
}

/** A CloudWatch alarm takes at most this many metrics. */
const MOST_METRICS = 10;

/** One alarm for all errors of a workflow: the sum over five minutes of what must not happen. */
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

/** The topic of one region's alarms. CloudWatch can notify only a topic of its own region. */
export class AlarmTopic extends Topic {
  constructor(
    scope: Construct,
    id: string,
    { key, email }: { readonly key: DataKey; readonly email?: string | undefined },
  ) {
    super(scope, id, { displayName: 'Strata alarms', masterKey: key, enforceSSL: true });
    const { account } = Stack.of(this);
    key.grantAlarms(account);
    // The statement that requires TLS replaces the topic's default policy, which allowed alarms to publish.
    this.addToResourcePolicy(
      new PolicyStatement({
        sid: 'Alarms',
        principals: [new ServicePrincipal('cloudwatch.amazonaws.com')],
        actions: ['sns:Publish'],
        resources: [this.topicArn],
        conditions: { StringEquals: { 'aws:SourceAccount': account } },
      }),
    );
    if (email) this.addSubscription(new EmailSubscription(email));
  }
}
