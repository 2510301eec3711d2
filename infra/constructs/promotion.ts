import { ArnFormat, Duration, Stack } from 'aws-cdk-lib';
import { Grant } from 'aws-cdk-lib/aws-iam';
import { Topic } from 'aws-cdk-lib/aws-sns';
import { EmailSubscription } from 'aws-cdk-lib/aws-sns-subscriptions';
import { Construct } from 'constructs';
import { STATE_MACHINES } from '../../functions/contracts/names.ts';
import type { RegionConfig } from '../config.ts';
import { DAILY_PROMOTION } from '../promotion-config.ts';
import { raiseWorkflowAlarm } from './alarms.ts';
import type { Cell } from './cell.ts';
import type { DataKey } from './data-key.ts';
import type { RegionNetwork } from './region-network.ts';
import type { Registry } from './registry.ts';
import type { RunTimeSecrets } from './run-time-secrets.ts';
import { type FunctionSettings, StrataFunction } from './strata-function.ts';
import { TaskSchedule } from './task-schedule.ts';

export interface PromotionProps {
  readonly settings: FunctionSettings;
  readonly region: RegionConfig;
  readonly registry: Registry;
  readonly network: RegionNetwork;
  readonly cells: readonly Cell[];
  readonly secrets: RunTimeSecrets;
  readonly key: DataKey;
}

/**
 * The daily run: one function measures the tenants in their databases, another one decides, starts moves and makes
 * offers. The first may sign in as owners and start nothing; the second has no way to a database.
 */
export class Promotion extends Construct {
  /** Offers are told here: to who hears of alarms, and to whoever else subscribes. */
  readonly topic: Topic;

  constructor(scope: Construct, id: string, props: PromotionProps) {
    super(scope, id);
    const { settings, region, registry } = props;
    this.topic = new Topic(this, 'Notifications', {
      topicName: 'strata-notifications',
      displayName: 'Strata: offers to tenants',
      masterKey: props.key,
      enforceSSL: true,
    });
    const { alarmEmail, promotion } = settings.config;
    if (alarmEmail) this.topic.addSubscription(new EmailSubscription(alarmEmail));
    const metering = this.#metering(props);
    const moves = this.#moveStateMachineArn();
    const evaluate = new StrataFunction(this, 'Evaluate', {
      ...settings,
      entry: 'tasks/promotion-evaluate',
      description: 'Decides upon the tier of every tenant, promotes, and makes offers',
      timeout: Duration.minutes(15),
      watchedByWorkflow: true,
      environment: {
        ...registry.writerEnvironment,
        REGION_KEY: region.key,
        PROMOTION_POLICY: JSON.stringify(promotion),
        METERING_FUNCTION_ARN: metering.functionArn,
        MOVE_STATE_MACHINE_ARN: moves,
        NOTIFICATION_TOPIC_ARN: this.topic.topicArn,
      },
    });
    registry.grantWrite(evaluate);
    const may = (actions: string[], resourceArn: string, conditions = {}) =>
      Grant.addToPrincipal({ grantee: evaluate, actions, resourceArns: [resourceArn], conditions });
    may(['lambda:InvokeFunction'], metering.functionArn);
    may(['states:StartExecution'], moves);
    may(['sns:Publish'], this.topic.topicArn);
    // What the topic encrypts, its publisher encrypts with.
    may(['kms:Decrypt', 'kms:GenerateDataKey'], props.key.keyArn, {
      StringEquals: { 'kms:ViaService': `sns.${Stack.of(this).region}.amazonaws.com` },
    });
    raiseWorkflowAlarm(this, 'Failures', {
      functions: [metering, evaluate],
      failing: [metering, evaluate],
      description:
        'The daily run: metering or promotion failed or was throttled. Search the logs of meter-tenants and promotion-evaluate for level ERROR.',
      topicArn: settings.alarmTopicArn,
    });
    const { hour, minute } = DAILY_PROMOTION;
    const twoDigits = (part: number) => String(part).padStart(2, '0');
    new TaskSchedule(this, 'Daily', {
      name: `strata-${region.key}-daily-promotion`,
      description: 'Meters tenants and decides upon their tiers',
      expression: `cron(${minute} ${hour} * * ? *)`,
      task: evaluate,
      input: {
        timeOfDay: `${twoDigits(hour)}:${twoDigits(minute)}`,
        scheduledTime: '<aws.scheduler.scheduled-time>',
      },
    });
  }

  #metering({ settings, region, registry, network, cells, secrets }: PromotionProps): StrataFunction {
    const metering = new StrataFunction(this, 'Metering', {
      ...settings,
      entry: 'tasks/meter-tenants',
      description: "Counts tenants' users, employees, results, rows and bytes",
      timeout: Duration.minutes(5),
      watchedByWorkflow: true,
      network: network.forTasks,
      environment: { ...registry.writerEnvironment, REGION_KEY: region.key },
    });
    registry.grantWrite(metering);
    for (const cell of cells) cell.grantOwner(metering);
    secrets.grantReadDedicated(
      metering,
      'Every Enterprise tenant is measured in its own database; their secrets are known by pattern only.',
    );
    return metering;
  }

  /** By name, as operators know it: whoever defines it need not know of promotions. */
  #moveStateMachineArn(): string {
    return Stack.of(this).formatArn({
      service: 'states',
      resource: 'stateMachine',
      resourceName: STATE_MACHINES.move,
      arnFormat: ArnFormat.COLON_RESOURCE_NAME,
    });
  }
}
