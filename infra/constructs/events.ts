import { ArnFormat, CfnResource, Duration, Stack } from 'aws-cdk-lib';
import { Alarm, ComparisonOperator, Metric, TreatMissingData } from 'aws-cdk-lib/aws-cloudwatch';
import { CfnArchive, CfnEventBus, Rule } from 'aws-cdk-lib/aws-events';
import { LambdaFunction } from 'aws-cdk-lib/aws-events-targets';
import { Grant } from 'aws-cdk-lib/aws-iam';
import { Construct } from 'constructs';
import { EVENT_SOURCE } from '../../functions/contracts/events.ts';
import {
  EVENT_BACKLOG_METRIC,
  eventBusName,
  METRICS_NAMESPACE,
  STATE_MACHINES,
} from '../../functions/contracts/names.ts';
import type { RegionConfig } from '../config.ts';
import type { DataKey } from './data-key.ts';
import type { Registry } from './registry.ts';
import { type FunctionSettings, StrataFunction } from './strata-function.ts';
import { TaskSchedule } from './task-schedule.ts';

export interface EventsProps {
  readonly settings: FunctionSettings;
  readonly region: RegionConfig;
  readonly registry: Registry;
  readonly key: DataKey;
}

/**
 * Workflows whose ends are published at once. Not backups: the daily run ends hundreds of them within minutes, and the
 * schedule publishes them together.
 */
const PUBLISHED_AT_ONCE = [
  STATE_MACHINES.onboarding,
  STATE_MACHINES.move,
  STATE_MACHINES.restore,
  STATE_MACHINES.export,
  STATE_MACHINES.rollout,
];

/** An event waits for a minute at most while all is well. */
const BACKLOG_ALARM_SECONDS = 900;

/**
 * The bus of a region's events, and the function that publishes what the registry's triggers have written. It is outside
 * of the network, as EventBridge and the Data API are. Subscribers of this account add rules of their own
 * (docs/events.md).
 */
export class Events extends Construct {
  constructor(scope: Construct, id: string, { settings, region, registry, key }: EventsProps) {
    super(scope, id);
    const { account } = Stack.of(this);
    const busName = eventBusName(region.key);
    // Of the name and not of the resource, because the key's policy, in another stack, needs it.
    const busArn = Stack.of(this).formatArn({
      service: 'events',
      resource: 'event-bus',
      resourceName: busName,
    });
    key.grantEventBus(busArn, account);
    const bus = new CfnEventBus(this, 'Bus', {
      name: busName,
      description: `Strata: what happens to tenants of region ${region.key}`,
      kmsKeyIdentifier: key.keyArn,
    });
    // CDK's class of this type warns of its own deprecated properties at each synth.
    new CfnResource(this, 'Policy', {
      type: 'AWS::Events::EventBusPolicy',
      properties: {
        EventBusName: bus.ref,
        StatementId: 'ThisAccount',
        Statement: {
          Sid: 'ThisAccount',
          Effect: 'Allow',
          Principal: { AWS: Stack.of(this).formatArn({ service: 'iam', region: '', resource: 'root' }) },
          Action: 'events:PutEvents',
          Resource: bus.attrArn,
        },
      },
    });
    const { archiveDays } = settings.config.events;
    if (archiveDays !== undefined) {
      new CfnArchive(this, 'Archive', {
        archiveName: busName,
        description: 'All events, to be replayed for a subscriber that has missed some',
        sourceArn: bus.attrArn,
        retentionDays: archiveDays,
        kmsKeyIdentifier: key.keyArn,
      });
    }
    const publish = new StrataFunction(this, 'Publish', {
      ...settings,
      entry: 'tasks/publish-events',
      description: "Publishes the registry's events",
      environment: { ...registry.writerEnvironment, REGION_KEY: region.key, EVENT_BUS_NAME: bus.ref },
      timeout: Duration.minutes(1),
    });
    registry.grantWrite(publish);
    Grant.addToPrincipal({
      grantee: publish,
      actions: ['events:PutEvents'],
      resourceArns: [busArn],
      conditions: { StringEquals: { 'events:source': EVENT_SOURCE } },
    });
    this.#run(publish, region);
    this.#watch(settings.alarmTopicArn);
  }

  /** Every minute, and at once when one of these workflows has ended. */
  #run(publish: StrataFunction, region: RegionConfig): void {
    new TaskSchedule(this, 'Schedule', {
      name: `strata-${region.key}-events`,
      description: 'Publishes events',
      expression: 'rate(1 minute)',
      punctual: true,
      task: publish,
    });
    const machineArn = (name: string) =>
      Stack.of(this).formatArn({
        service: 'states',
        resource: 'stateMachine',
        resourceName: name,
        arnFormat: ArnFormat.COLON_RESOURCE_NAME,
      });
    new Rule(this, 'Ended', {
      description: 'A workflow has ended: publish what it has recorded',
      eventPattern: {
        source: ['aws.states'],
        detailType: ['Step Functions Execution Status Change'],
        detail: {
          status: ['SUCCEEDED', 'FAILED', 'TIMED_OUT', 'ABORTED'],
          stateMachineArn: PUBLISHED_AT_ONCE.map(machineArn),
        },
      },
      targets: [new LambdaFunction(publish, { retryAttempts: 0 })],
    });
  }

  /** Also when the function does not run at all: then the metric has no data. */
  #watch(alarmTopicArn: string): void {
    const alarm = new Alarm(this, 'Backlog', {
      metric: new Metric({
        namespace: METRICS_NAMESPACE,
        metricName: EVENT_BACKLOG_METRIC,
        dimensionsMap: { service: 'publish-events' },
        statistic: 'Maximum',
        period: Duration.minutes(5),
      }),
      threshold: BACKLOG_ALARM_SECONDS,
      evaluationPeriods: 3,
      comparisonOperator: ComparisonOperator.GREATER_THAN_OR_EQUAL_TO_THRESHOLD,
      treatMissingData: TreatMissingData.BREACHING,
      alarmDescription:
        'Events have waited for more than 15 minutes, or their publisher does not run. Search the log of publish-events; events are not lost, see docs/operations.md.',
    });
    const toTopic = { bind: () => ({ alarmActionArn: alarmTopicArn }) };
    alarm.addAlarmAction(toTopic);
    alarm.addOkAction(toTopic);
  }
}
