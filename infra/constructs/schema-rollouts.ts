import { ArnFormat, CustomResource, Duration, RemovalPolicy, Stack } from 'aws-cdk-lib';
import { Rule } from 'aws-cdk-lib/aws-events';
import { LambdaFunction as InvokeFunction } from 'aws-cdk-lib/aws-events-targets';
import { Grant } from 'aws-cdk-lib/aws-iam';
import { LogGroup } from 'aws-cdk-lib/aws-logs';
import type { StateMachine } from 'aws-cdk-lib/aws-stepfunctions';
import { Construct, type IDependable } from 'constructs';
import { STATE_MACHINES } from '../../functions/contracts/names.ts';
import { SchemaRollout } from '../../workflows/schema-rollout.ts';
import type { RegionConfig } from '../config.ts';
import { acknowledgePattern, acknowledgeWorkflow } from './acknowledge-finding.ts';
import { raiseWorkflowAlarm } from './alarms.ts';
import type { Cell } from './cell.ts';
import { OwnerTask } from './owner-task.ts';
import type { RegionNetwork } from './region-network.ts';
import type { Registry } from './registry.ts';
import type { RunTimeSecrets } from './run-time-secrets.ts';
import type { FunctionSettings, StrataFunction } from './strata-function.ts';

export interface SchemaRolloutsProps {
  readonly settings: FunctionSettings;
  readonly region: RegionConfig;
  readonly registry: Registry;
  readonly network: RegionNetwork;
  readonly cells: readonly Cell[];
  readonly secrets: RunTimeSecrets;
}

const NAME = STATE_MACHINES.rollout;
const TIMEOUT = Duration.minutes(15);
/** Concurrent calls of the function: each cell has a database of its own. */
const GROUPS_AT_ONCE = 10;

/** The schema-rollout state machine, its task function, and its start at the end of a deployment. */
export class SchemaRollouts extends Construct {
  readonly stateMachine: StateMachine;
  readonly #task: StrataFunction;

  constructor(scope: Construct, id: string, props: SchemaRolloutsProps) {
    super(scope, id);
    const { settings, region, registry } = props;
    this.#task = new OwnerTask(this, 'Task', {
      ...settings,
      databases: props,
      why: 'Every Enterprise tenant’s own database is a target; their secrets are known by pattern only.',
      entry: 'tasks/schema-rollout',
      description: 'Changes the tables of cells and tenants, and schema tenancy',
      timeout: TIMEOUT,
      environment: { ...registry.writerEnvironment, REGION_KEY: region.key },
    });
    registry.grantWrite(this.#task);
    this.#grantWatch();
    this.stateMachine = new SchemaRollout(this, 'Workflow', {
      task: this.#task,
      timeout: TIMEOUT,
      groupsAtOnce: GROUPS_AT_ONCE,
      logGroup: new LogGroup(this, 'Logs', {
        retention: settings.config.logRetentionDays,
        removalPolicy: RemovalPolicy.RETAIN,
      }),
    }).stateMachine;
    acknowledgeWorkflow(this.stateMachine.role, [this.#task]);
    this.#recordEnds();
    raiseWorkflowAlarm(this, 'Failures', {
      stateMachines: [this.stateMachine],
      functions: [this.#task],
      description: `${NAME}: an execution did not bring all targets up to date, or its task was throttled. GET /rollouts lists the targets that failed; start it again to continue.`,
      topicArn: settings.alarmTopicArn,
    });
  }

  /**
   * Starts a rollout at the end of each deployment, when a target lags.
   * @param starter the entry `register-region`. @param after what must be deployed first.
   */
  onDeploy(starter: StrataFunction, version: string, after: readonly IDependable[]): void {
    const { stateMachineArn } = this.stateMachine;
    Grant.addToPrincipal({
      grantee: starter,
      actions: ['states:StartExecution'],
      resourceArns: [stateMachineArn],
    });
    const started = new CustomResource(this, 'Started', {
      resourceType: 'Custom::StrataRollout',
      serviceToken: starter.functionArn,
      serviceTimeout: Duration.minutes(10),
      properties: { StateMachineArn: stateMachineArn, SchemaHash: version },
    });
    started.node.addDependency(this.stateMachine, starter, ...after);
  }

  /** May read whether the execution of a running rollout is dead. */
  #grantWatch(): void {
    const executions = Stack.of(this).formatArn({
      service: 'states',
      resource: 'execution',
      resourceName: `${NAME}:*`,
      arnFormat: ArnFormat.COLON_RESOURCE_NAME,
    });
    acknowledgePattern(
      this.#task,
      executions,
      'Executions are named at run time; the pattern is bound to the one state machine.',
    );
    Grant.addToPrincipal({
      grantee: this.#task,
      actions: ['states:DescribeExecution'],
      resourceArns: [executions],
    });
  }

  /** A rollout whose execution was stopped or timed out is recorded as ended at once. */
  #recordEnds(): void {
    new Rule(this, 'Ended', {
      description: 'Executions of schema rollouts that ended badly',
      eventPattern: {
        source: ['aws.states'],
        detailType: ['Step Functions Execution Status Change'],
        detail: {
          stateMachineArn: [this.stateMachine.stateMachineArn],
          status: ['ABORTED', 'TIMED_OUT', 'FAILED'],
        },
      },
      targets: [new InvokeFunction(this.#task, { retryAttempts: 4, maxEventAge: Duration.hours(1) })],
    });
  }
}
