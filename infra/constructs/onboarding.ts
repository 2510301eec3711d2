import { ArnFormat, Duration, RemovalPolicy, Stack } from 'aws-cdk-lib';
import { Rule } from 'aws-cdk-lib/aws-events';
import { LambdaFunction as InvokeFunction } from 'aws-cdk-lib/aws-events-targets';
import { Grant } from 'aws-cdk-lib/aws-iam';
import { FilterPattern, LogGroup, MetricFilter } from 'aws-cdk-lib/aws-logs';
import type { StateMachine } from 'aws-cdk-lib/aws-stepfunctions';
import { Construct } from 'constructs';
import type { FunctionCode } from '../../functions/contracts/environments.ts';
import { ALERTS, accountsFunctionName, STATE_MACHINES } from '../../functions/contracts/names.ts';
import {
  ONBOARDING_TIMEOUTS,
  type OnboardingTasks,
  TenantOnboarding,
} from '../../workflows/tenant-onboarding.ts';
import type { RegionConfig } from '../config.ts';
import { acknowledgePattern, acknowledgeWorkflow } from './acknowledge-finding.ts';
import { raiseAlarm, raiseWorkflowAlarm, serviceMetric } from './alarms.ts';
import type { Cell } from './cell.ts';
import type { DedicatedDatabases } from './dedicated-databases.ts';
import type { FieldKeys } from './field-keys.ts';
import { grantOwners } from './owner-task.ts';
import type { RegionGrants } from './region-grants.ts';
import type { RegionNetwork } from './region-network.ts';
import type { Registry } from './registry.ts';
import type { RunTimeSecrets } from './run-time-secrets.ts';
import { type FunctionNetwork, type FunctionSettings, StrataFunction } from './strata-function.ts';
import { TaskSchedule } from './task-schedule.ts';

export interface OnboardingProps {
  readonly settings: FunctionSettings;
  readonly region: RegionConfig;
  readonly registry: Registry;
  readonly network: RegionNetwork;
  readonly cells: readonly Cell[];
  readonly secrets: RunTimeSecrets;
  readonly fieldKeys: FieldKeys;
  readonly dedicated: DedicatedDatabases;
  readonly elsewhere: RegionGrants;
}

type OnboardingTaskProps = FunctionCode<`tasks/onboarding-${keyof OnboardingTasks}`> & {
  readonly description: string;
  readonly timeout: Duration;
  readonly network?: FunctionNetwork;
};

const ANY_TENANT =
  'The task works for whichever tenant the execution names, so its secret is known by pattern only.';

/** The tenant-onboarding state machine with its task functions and their rights. */
export class Onboarding extends Construct {
  readonly stateMachine: StateMachine;
  readonly #props: OnboardingProps;

  constructor(scope: Construct, id: string, props: OnboardingProps) {
    super(scope, id);
    this.#props = props;
    const { network, cells, secrets, fieldKeys, dedicated, elsewhere } = props;

    // Slugs are unique across regions, so it reserves the tenant's in the home registry.
    const { writerEnvironment } = props.registry;
    const registryTask = this.#task({
      entry: 'tasks/onboarding-registry',
      description: 'Registers, activates and fails tenants, and recovers dead onboardings',
      timeout: ONBOARDING_TIMEOUTS.registry,
      environment: { ...writerEnvironment, ...elsewhere.environment },
    });
    elsewhere.grantRegistries(registryTask);
    this.#grantRecovery(registryTask);
    Grant.addToPrincipal({
      grantee: registryTask,
      actions: ['lambda:InvokeFunction'],
      resourceArns: [
        Stack.of(this).formatArn({
          service: 'lambda',
          resource: 'function',
          resourceName: accountsFunctionName(props.region.key),
          arnFormat: ArnFormat.COLON_RESOURCE_NAME,
        }),
      ],
    });

    const aws = this.#task({
      entry: 'tasks/onboarding-aws',
      description: "Makes tenants' secrets and dedicated databases, and registers the secrets with proxies",
      timeout: ONBOARDING_TIMEOUTS.aws,
      environment: {
        ...writerEnvironment,
        ...dedicated.launchEnvironment,
        SECRETS_KMS_KEY_ARN: secrets.keyArn,
      },
    });
    secrets.grantCreateTenant(aws);
    secrets.grantReadTenant(aws, ANY_TENANT);
    dedicated.grantLaunch(aws);
    fieldKeys.grantProvide(aws);
    for (const cell of cells) cell.grantProxyAuth(aws);

    const data = this.#task({
      entry: 'tasks/onboarding-data',
      description: "Makes tenants' schemas and placements, and enters them as a request does",
      timeout: ONBOARDING_TIMEOUTS.data,
      environment: writerEnvironment,
      network: network.forTasks,
    });
    grantOwners(data, { cells, secrets }, ANY_TENANT);
    for (const cell of cells) cell.grantStarter(data);
    secrets.grantReadTenant(data, ANY_TENANT);

    const logGroup = new LogGroup(this, 'Logs', {
      retention: props.settings.config.logRetentionDays,
      removalPolicy: RemovalPolicy.RETAIN_ON_UPDATE_OR_DELETE,
    });
    const tasks = { registry: registryTask, aws, data };
    this.stateMachine = new TenantOnboarding(this, 'Workflow', { tasks, logGroup }).stateMachine;
    acknowledgeWorkflow(this.stateMachine.role, Object.values(tasks));
    this.#recoverEnded(registryTask);
    this.#raiseAlarms(Object.values(tasks), registryTask);
  }

  /** May read the state of an execution, and start a planned one. */
  #grantRecovery(grantee: StrataFunction): void {
    const executions = this.#arn('execution', `${STATE_MACHINES.onboarding}:*`);
    acknowledgePattern(
      grantee,
      executions,
      'Executions are named at run time; the pattern is bound to the one state machine.',
    );
    Grant.addToPrincipal({ grantee, actions: ['states:DescribeExecution'], resourceArns: [executions] });
    Grant.addToPrincipal({
      grantee,
      actions: ['states:StartExecution'],
      resourceArns: [this.#arn('stateMachine', STATE_MACHINES.onboarding)],
    });
  }

  /** By name: the state machine depends on its functions, so the functions cannot refer to it. */
  #arn(resource: 'stateMachine' | 'execution', resourceName: string): string {
    return Stack.of(this).formatArn({
      service: 'states',
      resource,
      resourceName,
      arnFormat: ArnFormat.COLON_RESOURCE_NAME,
    });
  }

  /** At once when an execution does not succeed, and every few minutes in case that event was lost. */
  #recoverEnded(task: StrataFunction): void {
    new Rule(this, 'Ended', {
      description: 'Executions of onboardings that ended badly',
      eventPattern: {
        source: ['aws.states'],
        detailType: ['Step Functions Execution Status Change'],
        detail: {
          stateMachineArn: [this.stateMachine.stateMachineArn],
          status: ['ABORTED', 'TIMED_OUT', 'FAILED'],
        },
      },
      targets: [new InvokeFunction(task, { retryAttempts: 4, maxEventAge: Duration.hours(1) })],
    });
    new TaskSchedule(this, 'Recovery', {
      name: `strata-${this.#props.region.key}-onboarding-recovery`,
      description: 'Recovers onboardings whose executions ended early',
      expression: 'rate(5 minutes)',
      punctual: true,
      task,
    });
  }

  #task({ description, ...props }: OnboardingTaskProps): StrataFunction {
    const { settings, registry } = this.#props;
    const id = props.entry.replace('tasks/onboarding-', '');
    const task = new StrataFunction(this, id, {
      ...settings,
      ...props,
      description: `Onboarding: ${description}`,
      watchedByWorkflow: true,
    });
    registry.grantWrite(task);
    return task;
  }

  #raiseAlarms(tasks: StrataFunction[], recovering: StrataFunction): void {
    const { alarmTopicArn: topicArn } = this.#props.settings;
    new MetricFilter(recovering, 'ProvisioningAlerts', {
      logGroup: recovering.logGroup,
      filterPattern: FilterPattern.stringValue('$.message', '=', ALERTS.provisioning),
      metricNamespace: 'Strata',
      metricName: `${ALERTS.provisioning}s`,
      metricValue: '1',
    });
    raiseAlarm(this, 'ProvisioningTooLong', {
      metric: serviceMetric('Strata', `${ALERTS.provisioning}s`, {}, 'Sum'),
      threshold: 1,
      description:
        'A tenant is provisioning for longer than an hour. Search the log of onboarding-registry for TenantProvisioningAlert.',
      topicArn,
    });
    raiseWorkflowAlarm(this, 'Failures', {
      stateMachines: [this.stateMachine],
      functions: tasks,
      failing: tasks,
      description:
        'tenant-onboarding: an execution failed or timed out, or a task failed or was throttled. A tenant that failed carries the reason: start it again with the same input. Otherwise search the logs of onboarding-registry, -aws and -data for level ERROR.',
      topicArn,
    });
  }
}
