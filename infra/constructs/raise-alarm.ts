import { Duration } from 'aws-cdk-lib';
import {
  Alarm,
  ComparisonOperator,
  type IMetric,
  Metric,
  TreatMissingData,
} from 'aws-cdk-lib/aws-cloudwatch';
import type { Construct } from 'constructs';

export interface AlarmProps {
  readonly metric: IMetric;
  /** The alarm is raised at this value and above. */
  readonly threshold: number;
  /** Periods of the metric in a row, default 1. */
  readonly periods?: number;
  /** What happened and what to look at first: this is the text of the message. */
  readonly description: string;
  readonly topicArn: string;
}

/** An alarm that tells the topic when it starts and when it is over. No data is good news. */
export function raiseAlarm(scope: Construct, id: string, props: AlarmProps): Alarm {
  const alarm = new Alarm(scope, id, {
    metric: props.metric,
    threshold: props.threshold,
    evaluationPeriods: props.periods ?? 1,
    comparisonOperator: ComparisonOperator.GREATER_THAN_OR_EQUAL_TO_THRESHOLD,
    treatMissingData: TreatMissingData.NOT_BREACHING,
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
  statistic: 'Average' | 'Maximum' | 'Sum',
): Metric {
  return new Metric({ namespace, metricName, dimensionsMap, statistic, period: Duration.minutes(5) });
}
