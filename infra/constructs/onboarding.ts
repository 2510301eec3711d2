import { ArnFormat, Duration, RemovalPolicy, Stack } from 'aws-cdk-lib';
import { Rule } from 'aws-cdk-lib/aws-events';
import { LambdaFunction as InvokeFunction } from 'aws-cdk-lib/aws-events-targets';
import { Grant } from 'aws-cdk-lib/aws-iam';
import { FilterPattern, LogGroup, MetricFilter } from 'aws-cdk-lib/aws-logs';
import type { StateMachine } from 'aws-cdk-lib/aws-stepfunctions';
import { Construct } from 'constructs';
import { TenantOnboarding } from '../../workflows/tenant-onboarding.ts';
import type { RegionConfig } from '../config.ts';
import { acknowledgePattern, acknowledgeWorkflow } from './acknowledge-finding.ts';
import type { Cell } from './cell.ts';
import type { DedicatedDatabases } from './dedicated-databases.ts';
import { raiseAlarm, serviceMetric } from './raise-alarm.ts';
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
  readonly dedicated: DedicatedDatabases;
  readonly elsewhere: RegionGrants;
}

const ANY_TENANT =
  'The task works for whichever tenant the execution names, so its secret is known by pattern only.';

/** The tenant-onboarding state machine with its task functions and what each of them may do. */
export class Onboarding extends Construct {
  readonly stateMachine: StateMachine;
  readonly #props: OnboardingProps;

  constructor(scope: Construct, id: string, props: OnboardingProps) {
    super(scope, id);
    this.#props = props;
    const { registry, network, cells, secrets, dedicated, elsewhere } = props;
    const inVpc = network.forTasks;

    // Slugs are unique everywhere: it reserves the tenant's in the home registry.
    const register = this.#task('register', 'Registers the tenant and chooses its cell', {
      environment: elsewhere.environment,
    });
    registry.grantWrite(register);
    elsewhere.grantRegistries(register);

    const credentials = this.#task('credentials', "Creates the secret of the tenant's login role", {
      environment: { SECRETS_KMS_KEY_ARN: secrets.keyArn },
    });
    registry.grantWrite(credentials);
    secrets.grantCreateTenant(credentials);
    secrets.grantReadTenant(credentials, ANY_TENANT);

    const dedicatedStack = this.#task(
      'dedicated-stack',
      "Launches and watches the tenant's dedicated database",
      {
        environment: dedicated.launchEnvironment,
      },
    );
    registry.grantWrite(dedicatedStack);
    dedicated.grantLaunch(dedicatedStack);

    const bootstrapDedicated = this.#task(
      'bootstrap-dedicated',
      'Prepares roles and tenancy of a dedicated database',
      {
        network: inVpc,
        timeout: Duration.seconds(60),
      },
    );
    registry.grantWrite(bootstrapDedicated);
    secrets.grantReadDedicated(bootstrapDedicated, ANY_TENANT);

    const schema = this.#task('schema', "Creates the tenant's schema and login role", {
      network: inVpc,
      timeout: Duration.seconds(60),
    });
    registry.grantWrite(schema);
    for (const cell of cells) cell.grantOwner(schema);
    secrets.grantReadDedicated(schema, ANY_TENANT);
    secrets.grantReadTenant(schema, ANY_TENANT);

    const proxyAuth = this.#task('proxy-auth', "Registers the tenant's secret with the cell's proxy", {
      timeout: Duration.seconds(120),
    });
    registry.grantWrite(proxyAuth);
    for (const cell of cells) cell.grantProxyAuth(proxyAuth);

    const place = this.#task('place', 'Writes the placement into the data database', { network: inVpc });
    registry.grantWrite(place);
    for (const cell of cells) cell.grantOwner(place);
    secrets.grantReadDedicated(place, ANY_TENANT);

    const verify = this.#task('verify', 'Enters the tenant the way a request does', { network: inVpc });
    registry.grantWrite(verify);
    for (const cell of cells) cell.grantStarter(verify);
    secrets.grantReadTenant(verify, ANY_TENANT);

    const activate = this.#task('activate', 'Makes the tenant visible');
    registry.grantWrite(activate);

    const fail = this.#task('fail', 'Records why the tenant could not be onboarded', {
      environment: elsewhere.environment,
    });
    registry.grantWrite(fail);
    elsewhere.grantRegistries(fail);
    this.#grantRecovery(fail);

    const logGroup = new LogGroup(this, 'Logs', {
      retention: props.settings.config.logRetentionDays,
      removalPolicy: RemovalPolicy.RETAIN_ON_UPDATE_OR_DELETE,
    });
    const tasks = {
      ...{ register, credentials, dedicatedStack, bootstrapDedicated, schema },
      ...{ proxyAuth, place, verify, activate, fail },
    };
    this.stateMachine = new TenantOnboarding(this, 'Workflow', { tasks, logGroup }).stateMachine;
    acknowledgeWorkflow(this.stateMachine.role, Object.values(tasks));
    this.#recoverEnded(fail);
    this.#raiseAlarms(fail);
  }

  /** May see what became of an execution, and start one that was planned. */
  #grantRecovery(grantee: StrataFunction): void {
    const executions = this.#arn('execution', 'tenant-onboarding:*');
    acknowledgePattern(
      grantee,
      executions,
      'Executions are named at run time; the pattern is bound to the one state machine.',
    );
    Grant.addToPrincipal({ grantee, actions: ['states:DescribeExecution'], resourceArns: [executions] });
    Grant.addToPrincipal({
      grantee,
      actions: ['states:StartExecution'],
      resourceArns: [this.#arn('stateMachine', 'tenant-onboarding')],
    });
  }

  /** By name: the state machine depends on its functions, so they cannot refer to it. */
  #arn(resource: 'stateMachine' | 'execution', resourceName: string): string {
    return Stack.of(this).formatArn({
      service: 'states',
      resource,
      resourceName,
      arnFormat: ArnFormat.COLON_RESOURCE_NAME,
    });
  }

  /** At once, when an execution ends badly; and every few minutes, in case that event was lost. */
  #recoverEnded(fail: StrataFunction): void {
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
      targets: [new InvokeFunction(fail, { retryAttempts: 4, maxEventAge: Duration.hours(1) })],
    });
    new TaskSchedule(this, 'Recovery', {
      name: `strata-${this.#props.region.key}-onboarding-recovery`,
      description: 'Looks for tenants whose onboarding has ended without them',
      expression: 'rate(5 minutes)',
      punctual: true,
      task: fail,
    });
  }

  #task(
    name: string,
    description: string,
    options: { network?: FunctionNetwork; timeout?: Duration; environment?: Record<string, string> } = {},
  ): StrataFunction {
    const { settings, registry } = this.#props;
    return new StrataFunction(this, name, {
      ...settings,
      entry: `tasks/onboarding-${name}`,
      description: `Onboarding: ${description}`,
      timeout: options.timeout ?? Duration.seconds(30),
      environment: { ...registry.writerEnvironment, ...options.environment },
      ...(options.network ? { network: options.network } : {}),
    });
  }

  #raiseAlarms(fail: StrataFunction): void {
    const { alarmTopicArn: topicArn } = this.#props.settings;
    new MetricFilter(fail, 'ProvisioningAlerts', {
      logGroup: fail.logGroup,
      filterPattern: FilterPattern.stringValue('$.message', '=', 'TenantProvisioningAlert'),
      metricNamespace: 'Strata',
      metricName: 'TenantProvisioningAlerts',
      metricValue: '1',
    });
    raiseAlarm(this, 'ProvisioningTooLong', {
      metric: serviceMetric('Strata', 'TenantProvisioningAlerts', {}, 'Sum'),
      threshold: 1,
      description:
        'A tenant is provisioning for longer than an hour. Search the log of onboarding-fail for TenantProvisioningAlert.',
      topicArn,
    });
    raiseAlarm(this, 'Failed', {
      metric: this.stateMachine.metricFailed(),
      threshold: 1,
      description: 'tenant-onboarding: an execution failed. The tenant carries the reason.',
      topicArn,
    });
    raiseAlarm(this, 'TimedOut', {
      metric: this.stateMachine.metricTimedOut(),
      threshold: 1,
      description:
        'tenant-onboarding: an execution timed out. The tenant is marked failed; start it again with the same input.',
      topicArn,
    });
  }
}
