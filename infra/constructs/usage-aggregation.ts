import { ArnFormat, Duration, Stack } from 'aws-cdk-lib';
import { Grant } from 'aws-cdk-lib/aws-iam';
import type { ILogGroup } from 'aws-cdk-lib/aws-logs';
import { Construct } from 'constructs';
import type { RegionConfig } from '../config.ts';
import { acknowledgePattern } from './acknowledge-finding.ts';
import type { Registry } from './registry.ts';
import { type FunctionSettings, StrataFunction } from './strata-function.ts';
import { TaskSchedule } from './task-schedule.ts';

export interface UsageAggregationProps {
  readonly settings: FunctionSettings;
  readonly region: RegionConfig;
  readonly registry: Registry;
  /** Of the functions that serve tenants, at most 50. */
  readonly logGroups: readonly ILogGroup[];
}

/**
 * Sums the log of requests up for each tenant, every hour. It reads the log through Logs Insights only, and reaches no
 * database but the registry.
 */
export class UsageAggregation extends Construct {
  constructor(scope: Construct, id: string, props: UsageAggregationProps) {
    super(scope, id);
    const { settings, region, registry, logGroups } = props;
    const aggregate = new StrataFunction(this, 'Aggregate', {
      ...settings,
      entry: 'tasks/aggregate-usage',
      description: 'Sums up the requests of each tenant by the hour and the day',
      timeout: Duration.minutes(15),
      environment: {
        ...registry.writerEnvironment,
        REGION_KEY: region.key,
        API_LOG_GROUPS: logGroups.map(({ logGroupName }) => logGroupName).join(','),
      },
    });
    registry.grantWrite(aggregate);
    Grant.addToPrincipal({
      grantee: aggregate,
      actions: ['logs:StartQuery'],
      // IAM takes the ARN of a log group with `:*`, and some calls without it.
      resourceArns: logGroups.flatMap((logGroup) => [logGroup.logGroupArn, plainArn(this, logGroup)]),
    });
    Grant.addToPrincipal({
      grantee: aggregate,
      actions: ['logs:GetQueryResults', 'logs:StopQuery'],
      resourceArns: ['*'],
    });
    acknowledgePattern(
      aggregate,
      '*',
      'A query’s result is asked for by its id: these actions take no resource. Queries can be started on the API’s log groups only.',
    );
    new TaskSchedule(this, 'Hourly', {
      name: `strata-${region.key}-usage-aggregation`,
      description: 'Requests of each tenant by the hour and the day',
      // After the hour’s last lines have arrived.
      expression: 'cron(10 * * * ? *)',
      task: aggregate,
    });
  }
}

function plainArn(scope: Construct, { logGroupName }: ILogGroup): string {
  return Stack.of(scope).formatArn({
    service: 'logs',
    resource: 'log-group',
    resourceName: logGroupName,
    arnFormat: ArnFormat.COLON_RESOURCE_NAME,
  });
}
