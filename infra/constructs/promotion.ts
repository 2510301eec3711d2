import { ArnFormat, Duration, Stack } from 'aws-cdk-lib';
import { Grant } from 'aws-cdk-lib/aws-iam';
import { Construct } from 'constructs';
import { STATE_MACHINES } from '../../functions/contracts/names.ts';
import type { RegionConfig } from '../config.ts';
import { DAILY_PROMOTION } from '../promotion-config.ts';
import { raiseWorkflowAlarm } from './alarms.ts';
import type { DataKey } from './data-key.ts';
import { NoticeTopic } from './notice-topic.ts';
import { type DataDatabases, OwnerTask } from './owner-task.ts';
import type { Registry } from './registry.ts';
import { type FunctionSettings, StrataFunction } from './strata-function.ts';
import { TaskSchedule } from './task-schedule.ts';

export interface PromotionProps extends DataDatabases {
  readonly settings: FunctionSettings;
  readonly region: RegionConfig;
  readonly registry: Registry;
  readonly key: DataKey;
}

/**
 * The daily run: one function measures the tenants in their databases, another one decides, starts moves and makes
 * offers. The first may sign in as owners and start nothing; the second reaches no database.
 */
export class Promotion extends Construct {
  /** The topic of offers. Its subscribers are those of the alarms, and others that an operator adds. */
  readonly topic: NoticeTopic;

  constructor(scope: Construct, id: string, props: PromotionProps) {
    super(scope, id);
    const { settings, region, registry } = props;
    const { alarmEmail, promotion } = settings.config;
    this.topic = new NoticeTopic(this, 'Notifications', {
      topicName: 'strata-notifications',
      displayName: 'Strata: offers to tenants',
      key: props.key,
      email: alarmEmail,
    });
    const metering = new OwnerTask(this, 'Metering', {
      ...settings,
      databases: props,
      why: 'Every Enterprise tenant is measured in its own database; their secrets are known by pattern only.',
      entry: 'tasks/meter-tenants',
      description: "Counts tenants' users, employees, results, rows and bytes",
      timeout: Duration.minutes(5),
      environment: { ...registry.writerEnvironment, REGION_KEY: region.key },
    });
    registry.grantWrite(metering);
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
    const may = (actions: string[], resourceArn: string) =>
      Grant.addToPrincipal({ grantee: evaluate, actions, resourceArns: [resourceArn] });
    may(['lambda:InvokeFunction'], metering.functionArn);
    may(['states:StartExecution'], moves);
    this.topic.grantNotices(evaluate);
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

  /** By name, which operators know too: the construct that defines the state machine need not know of promotions. */
  #moveStateMachineArn(): string {
    return Stack.of(this).formatArn({
      service: 'states',
      resource: 'stateMachine',
      resourceName: STATE_MACHINES.move,
      arnFormat: ArnFormat.COLON_RESOURCE_NAME,
    });
  }
}
