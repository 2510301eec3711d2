import { ArnFormat, Duration, RemovalPolicy, Stack } from 'aws-cdk-lib';
import { Grant } from 'aws-cdk-lib/aws-iam';
import { LogGroup } from 'aws-cdk-lib/aws-logs';
import type { StateMachine } from 'aws-cdk-lib/aws-stepfunctions';
import { Construct } from 'constructs';
import type { FunctionCode } from '../../functions/contracts/environments.ts';
import { STATE_MACHINES } from '../../functions/contracts/names.ts';
import {
  CREDENTIAL_TIMEOUTS,
  type CredentialTasks,
  CredentialRotation as Workflow,
} from '../../workflows/credential-rotation.ts';
import type { RegionConfig } from '../config.ts';
import { acknowledgePattern, acknowledgeWorkflow } from './acknowledge-finding.ts';
import { raiseWorkflowAlarm } from './alarms.ts';
import type { Cell } from './cell.ts';
import { grantDedicatedProxyAuth } from './dedicated-databases.ts';
import type { RegionNetwork } from './region-network.ts';
import type { Registry } from './registry.ts';
import type { RunTimeSecrets } from './run-time-secrets.ts';
import { type FunctionNetwork, type FunctionSettings, StrataFunction } from './strata-function.ts';
import { TaskSchedule } from './task-schedule.ts';

export interface CredentialRotationProps {
  readonly settings: FunctionSettings;
  readonly region: RegionConfig;
  readonly registry: Registry;
  readonly network: RegionNetwork;
  readonly cells: readonly Cell[];
  readonly secrets: RunTimeSecrets;
}

type CredentialTaskProps = FunctionCode<`tasks/credential-${keyof CredentialTasks}`> & {
  readonly description: string;
  readonly network?: FunctionNetwork;
};

const ANY_TENANT =
  'The task works for whichever tenant the execution names, so its secret is known by pattern only.';

/**
 * Rotation of database passwords by schedule and on request. One function makes secrets of stand-ins and changes proxies, another
 * one changes permanent secrets and signs in to data databases, and the third one changes the registry and the passwords of its own roles.
 */
export class CredentialRotation extends Construct {
  readonly stateMachine: StateMachine;
  readonly #props: CredentialRotationProps;

  constructor(scope: Construct, id: string, props: CredentialRotationProps) {
    super(scope, id);
    this.#props = props;
    const { settings, region, registry, secrets, cells } = props;
    const { overlapMinutes, ...policy } = settings.config.credentials;

    const registryTask = this.#task({
      entry: 'tasks/credential-registry',
      description: 'Begins and ends rotations, and rotates the roles of the registry',
      environment: {
        ...registry.writerEnvironment,
        ...registry.rotationEnvironment,
        REGION_KEY: region.key,
        CREDENTIALS_POLICY: JSON.stringify(policy),
        CREDENTIALS_STATE_MACHINE_ARN: this.#arn('stateMachine', STATE_MACHINES.credentials),
      },
    });
    registry.grantRotate(registryTask);
    this.#grantRestart(registryTask);

    const aws = this.#task({
      entry: 'tasks/credential-aws',
      description: 'Makes secrets of stand-ins and registers them with proxies',
      environment: { ...registry.writerEnvironment, SECRETS_KMS_KEY_ARN: secrets.keyArn },
    });
    secrets.grantCreateTenant(aws);
    secrets.grantDeleteTenant(aws, ANY_TENANT);
    // A second run of the same work reads what the first one has made.
    secrets.grantReadTenant(aws, ANY_TENANT);
    grantDedicatedProxyAuth(aws, Stack.of(this));

    const data = this.#task({
      entry: 'tasks/credential-data',
      description: 'Changes passwords of roles, and signs in as a request does',
      environment: registry.writerEnvironment,
      network: props.network.forTasks,
    });
    secrets.grantRenew(data, ANY_TENANT);
    for (const cell of cells) {
      cell.grantStandIns(aws);
      cell.grantRenew(data);
      cell.grantProxyAuth(aws);
      cell.grantOwner(data);
      cell.grantStarter(data);
    }

    const tasks = { registry: registryTask, aws, data };
    this.stateMachine = new Workflow(this, 'Workflow', {
      tasks,
      overlap: Duration.minutes(overlapMinutes),
      logGroup: new LogGroup(this, 'Logs', {
        retention: settings.config.logRetentionDays,
        removalPolicy: RemovalPolicy.RETAIN_ON_UPDATE_OR_DELETE,
      }),
    }).stateMachine;
    acknowledgeWorkflow(this.stateMachine.role, Object.values(tasks));
    new TaskSchedule(this, 'Due', {
      name: `strata-${region.key}-credential-rotation`,
      description: 'Continues rotations of credentials, and begins those that are due',
      expression: 'rate(10 minutes)',
      task: registryTask,
    });
    raiseWorkflowAlarm(this, 'Failures', {
      stateMachines: [this.stateMachine],
      functions: Object.values(tasks),
      failing: [registryTask],
      description:
        'credential-rotation: an execution failed or timed out, or a task was throttled. A rotation that stays running is continued every ten minutes, and moves of the tenant wait for it. Search the logs of credential-registry, -aws and -data for level ERROR.',
      topicArn: settings.alarmTopicArn,
    });
  }

  #task({ description, ...props }: CredentialTaskProps): StrataFunction {
    const { settings, registry } = this.#props;
    const name = props.entry.replace('tasks/credential-', '') as keyof CredentialTasks;
    const task = new StrataFunction(this, name, {
      ...settings,
      ...props,
      description: `Credentials: ${description}`,
      timeout: CREDENTIAL_TIMEOUTS[name],
      watchedByWorkflow: true,
    });
    registry.grantWrite(task);
    return task;
  }

  /** May start the next attempt at a rotation whose execution is dead. */
  #grantRestart(task: StrataFunction): void {
    const executions = this.#arn('execution', `${STATE_MACHINES.credentials}:*`);
    acknowledgePattern(
      task,
      executions,
      'Executions are named at run time; the pattern is bound to the one state machine.',
    );
    Grant.addToPrincipal({
      grantee: task,
      actions: ['states:DescribeExecution'],
      resourceArns: [executions],
    });
    Grant.addToPrincipal({
      grantee: task,
      actions: ['states:StartExecution'],
      resourceArns: [this.#arn('stateMachine', STATE_MACHINES.credentials)],
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
}
