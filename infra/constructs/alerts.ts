import { ArnFormat, Duration, Stack } from 'aws-cdk-lib';
import { Grant } from 'aws-cdk-lib/aws-iam';
import { Construct } from 'constructs';
import type { RegionConfig } from '../config.ts';
import { acknowledgePattern } from './acknowledge-finding.ts';
import { raiseWorkflowAlarm } from './alarms.ts';
import type { DataKey } from './data-key.ts';
import { NoticeTopic } from './notice-topic.ts';
import { type DataDatabases, OwnerTask } from './owner-task.ts';
import type { Registry } from './registry.ts';
import { type FunctionSettings, StrataFunction } from './strata-function.ts';
import { TaskSchedule } from './task-schedule.ts';

export interface AlertsProps extends DataDatabases {
  readonly settings: FunctionSettings;
  readonly region: RegionConfig;
  readonly registry: Registry;
  readonly key: DataKey;
}

const EVERY = 'rate(5 minutes)';

/**
 * Alerts about tenants and cells: one function surveys the databases, another one judges what was found, keeps the alerts
 * in the registry and publishes them. The first may sign in as owners and tell nobody; the second reaches no database.
 */
export class Alerts extends Construct {
  /** The topic of alerts. Its subscribers are those of the alarms, and others that an operator adds. */
  readonly topic: NoticeTopic;

  constructor(scope: Construct, id: string, props: AlertsProps) {
    super(scope, id);
    const { settings, region, registry, key } = props;
    this.topic = new NoticeTopic(this, 'Topic', {
      topicName: 'strata-alerts',
      displayName: 'Strata: alerts about tenants and cells',
      key,
      email: settings.config.alarmEmail,
    });
    const survey = new OwnerTask(this, 'Survey', {
      ...settings,
      databases: props,
      why: 'Every Enterprise tenant is observed in its own database; their secrets are known by pattern only.',
      entry: 'tasks/survey-alerts',
      description: 'Observes databases and audit logs for alerts, and changes nothing',
      timeout: Duration.minutes(3),
      environment: { ...registry.readerEnvironment, REGION_KEY: region.key },
    });
    registry.grantRead(survey);
    const evaluate = new StrataFunction(this, 'Evaluate', {
      ...settings,
      entry: 'tasks/evaluate-alerts',
      description: 'Judges what was surveyed, keeps alerts, and publishes them',
      timeout: Duration.minutes(15),
      watchedByWorkflow: true,
      environment: {
        ...registry.writerEnvironment,
        REGION_KEY: region.key,
        SURVEY_FUNCTION_ARN: survey.functionArn,
        ALERT_TOPIC_ARN: this.topic.topicArn,
      },
    });
    registry.grantWrite(evaluate);
    grantReadProxies(evaluate);
    Grant.addToPrincipal({
      grantee: evaluate,
      actions: ['lambda:InvokeFunction'],
      resourceArns: [survey.functionArn],
    });
    this.topic.grantNotices(evaluate);
    raiseWorkflowAlarm(this, 'Failures', {
      functions: [survey, evaluate],
      failing: [survey, evaluate],
      description:
        'Alerts: a survey or an evaluation failed or was throttled, so alerts may be late. Search the logs of survey-alerts and evaluate-alerts for level ERROR.',
      topicArn: settings.alarmTopicArn,
    });
    new TaskSchedule(this, 'Schedule', {
      name: `strata-${region.key}-alerts`,
      description: 'Evaluates the alerts about tenants and cells',
      expression: EVERY,
      task: evaluate,
      punctual: true,
    });
  }
}

/** May describe proxies and their targets. */
function grantReadProxies(grantee: StrataFunction): void {
  const stack = Stack.of(grantee);
  for (const [resource, action] of [
    ['db-proxy', 'rds:DescribeDBProxies'],
    ['db-proxy', 'rds:DescribeDBProxyTargets'],
    ['target-group', 'rds:DescribeDBProxyTargets'],
  ] as const) {
    const any = stack.formatArn({
      service: 'rds',
      resource,
      resourceName: '*',
      arnFormat: ArnFormat.COLON_RESOURCE_NAME,
    });
    acknowledgePattern(
      grantee,
      any,
      'Describing a proxy by its name is authorized on the collection, and the ids of target groups are made by RDS.',
    );
    Grant.addToPrincipal({ grantee, actions: [action], resourceArns: [any] });
  }
}
