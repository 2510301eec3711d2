import type { Resource } from './synthesized-app.ts';

/** Metrics that the alarms among the resources watch: each is billed. */
export function alarmMetrics(resources: readonly Resource[]): number {
  return resources
    .filter(({ Type }) => Type === 'AWS::CloudWatch::Alarm')
    .flatMap(({ Properties }) => (Properties.Metrics ?? [{ MetricStat: {} }]) as { MetricStat?: object }[])
    .filter(({ MetricStat }) => MetricStat).length;
}
