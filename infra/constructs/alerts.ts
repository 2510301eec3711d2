import { ArnFormat, Duration, Stack } from 'aws-cdk-lib';
import { Grant } from 'aws-cdk-lib/aws-iam';
import { Topic } from 'aws-cdk-lib/aws-sns';
import { EmailSubscription } from 'aws-cdk-lib/aws-sns-subscriptions';
import { Construct } from 'constructs';
import type { RegionConfig } from '../config.ts';
import { acknowledgePattern } from './acknowledge-finding.ts';
import { raiseWorkflowAlarm } from './alarms.ts';
import type { Cell } from './cell.ts';
import type { DataKey } from './data-key.ts';
import type { RegionNetwork } from './region-network.ts';
import type { Registry } from './registry.ts';
import type { RunTimeSecrets } from './run-time-secrets.ts';
import { type FunctionSettings, StrataFunction } from './strata-function.ts';
import { TaskSchedule } from './task-schedule.ts';

export interface AlertsProps {
  readonly settings: FunctionSettings;
  readonly region: RegionConfig;
  readonly registry: Registry;
  readonly network: RegionNetwork;
  readonly cells: readonly Cell[];
  readonly secrets: RunTimeSecrets;
  readonly key: DataKey;
}

const EVERY = 'rate(5 minutes)';

/**
 * Alerts about tenants and cells: one function surveys the databases, another one judges what was found, keeps the alerts
 * in the registry and publishes them. The first may sign in as owners and tell nobody; the second reaches no database.
 */
export class Alerts extends Construct {
  /** The topic of alerts. Its subscribers are those of the alarms, and others that an operator adds. */
  readonly topic: Topic;

  constructor(scope: Construct, id: string, props: AlertsProps) {
    super(scope, id);
    const { settings, region, registry, key } = props;
    this.topic = new Topic(this, 'Topic', {
      topicName: 'strata-alerts',
      displayName: 'Strata: alerts about tenants and cells',
      masterKey: key,
      enforceSSL: true,
    });
    if (settings.config.alarmEmail) {
      this.topic.addSubscription(new EmailSubscription(settings.config.alarmEmail));
    }
    const survey = this.#survey(props);
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
    const may = (actions: string[], resourceArn: string, conditions = {}) =>
      Grant.addToPrincipal({ grantee: evaluate, actions, resourceArns: [resourceArn], conditions });
    may(['lambda:InvokeFunction'], survey.functionArn);
    may(['sns:Publish'], this.topic.topicArn);
    // A publisher needs the right to encrypt with the topic's key.
    may(['kms:Decrypt', 'kms:GenerateDataKey'], key.keyArn, {
      StringEquals: { 'kms:ViaService': `sns.${Stack.of(this).region}.amazonaws.com` },
    });
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

  #survey({ settings, region, registry, network, cells, secrets }: AlertsProps): StrataFunction {
    const survey = new StrataFunction(this, 'Survey', {
      ...settings,
      entry: 'tasks/survey-alerts',
      description: 'Observes databases and audit logs for alerts, and changes nothing',
      timeout: Duration.minutes(3),
      watchedByWorkflow: true,
      network: network.forTasks,
      environment: { ...registry.readerEnvironment, REGION_KEY: region.key },
    });
    registry.grantRead(survey);
    for (const cell of cells) cell.grantOwner(survey);
    secrets.grantReadDedicated(
      survey,
      'Every Enterprise tenant is observed in its own database; their secrets are known by pattern only.',
    );
    return survey;
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
