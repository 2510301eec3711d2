import { ArnFormat, Duration, Stack } from 'aws-cdk-lib';
import { Grant, type IGrantable } from 'aws-cdk-lib/aws-iam';
import { Construct } from 'constructs';
import type { FunctionCode } from '../../functions/contracts/environments.ts';
import { STATE_MACHINES, surveyFunctionName } from '../../functions/contracts/names.ts';
import type { MoveTasks } from '../../workflows/hop-loop.ts';
import { MOVE_TIMEOUTS } from '../../workflows/task-states.ts';
import type { RegionConfig } from '../config.ts';
import { acknowledgePattern } from './acknowledge-finding.ts';
import { Cell } from './cell.ts';
import type { DedicatedDatabases } from './dedicated-databases.ts';
import type { FieldKeys } from './field-keys.ts';
import { grantOwners } from './owner-task.ts';
import type { RegionGrants } from './region-grants.ts';
import type { RegionNetwork } from './region-network.ts';
import type { Registry } from './registry.ts';
import type { RunTimeSecrets } from './run-time-secrets.ts';
import { type FunctionNetwork, type FunctionSettings, StrataFunction } from './strata-function.ts';

export interface MoveFunctionsProps {
  readonly settings: FunctionSettings;
  readonly region: RegionConfig;
  readonly registry: Registry;
  readonly network: RegionNetwork;
  readonly cells: readonly Cell[];
  readonly secrets: RunTimeSecrets;
  readonly fieldKeys: FieldKeys;
  readonly dedicated: DedicatedDatabases;
  /** A tenant may move to another region, so a task has the same rights there as here. */
  readonly elsewhere: RegionGrants;
}

type MoveTaskProps = FunctionCode<`tasks/move-${keyof MoveTasks}`> & {
  readonly description: string;
  readonly timeout: Duration;
  readonly network?: FunctionNetwork;
  readonly memorySize?: number;
};

const ANY_TENANT =
  'The task works for whichever tenant the execution names, so its secret is known by pattern only.';
/** Copied, hashed and compared rows stay in the databases, but plans and cursors pass through the function. */
const BUSY_MEMORY = 1024;

/**
 * The task functions of moves, one for each privilege, with their rights. All of them read and write the registry, and
 * all but the survey also those of the other regions. Only those inside the network sign in to databases, and none of
 * these may call CloudFormation or RDS.
 */
export class MoveFunctions extends Construct {
  readonly tasks: Readonly<Record<keyof MoveTasks, StrataFunction>>;
  /**
   * Counts rows and bytes of a tenant for dry runs. The operators' API may invoke it, so it runs no phase of a move.
   */
  readonly survey: StrataFunction;
  readonly #props: MoveFunctionsProps;

  constructor(scope: Construct, id: string, props: MoveFunctionsProps) {
    super(scope, id);
    this.#props = props;
    const registry = this.#task({
      entry: 'tasks/move-registry',
      description: 'Opens the hops of moves and ends moves',
      timeout: MOVE_TIMEOUTS.registry,
      environment: this.#registries(),
    });
    const aws = this.#awsTask();
    const data = this.#dataTask();
    // The follow-up move in another region is started by the function that finds the move done.
    for (const task of [registry, data]) props.elsewhere.grantStartMove(task);
    this.tasks = { registry, aws, data };
    this.survey = this.#surveyTask();
  }

  /** It makes secrets, launches and deletes dedicated databases, and changes proxies; it reaches no database. */
  #awsTask(): StrataFunction {
    const { cells, secrets, fieldKeys, dedicated, elsewhere } = this.#props;
    const task = this.#task({
      entry: 'tasks/move-aws',
      description:
        'Makes secrets and dedicated databases, registers secrets with proxies, deletes left databases',
      timeout: MOVE_TIMEOUTS.aws,
      environment: {
        ...this.#registries(),
        ...dedicated.launchEnvironment,
        SECRETS_KMS_KEY_ARN: secrets.keyArn,
      },
    });
    dedicated.grantLaunch(task);
    elsewhere.grantLaunch(task, dedicated);
    fieldKeys.grantProvide(task);
    elsewhere.grantProvideFieldKeys(task);
    secrets.grantCreateTenant(task);
    secrets.grantReadTenant(task, ANY_TENANT);
    elsewhere.grantCreateTenant(task, ANY_TENANT);
    elsewhere.grantReadTenant(task, ANY_TENANT);
    for (const cell of cells) cell.grantProxyAuth(task);
    elsewhere.grantProxyAuth(task);
    // The clean-up runs in the source's region, so it deletes there only.
    dedicated.grantDelete(task);
    return task;
  }

  /** It signs in as the owner of source and target in any region, and enters the tenant as a request does. */
  #dataTask(): StrataFunction {
    const { cells, secrets, elsewhere, settings, network } = this.#props;
    const { maxPauseMs, dutyCycle, keepDedicated, replicationTls, replicationTlsBetweenRegions } =
      settings.config.moves;
    const cleanUpArn = this.#arn('stateMachine', STATE_MACHINES.moveCleanup);
    const task = this.#task({
      entry: 'tasks/move-data',
      description: 'Copies, compares and commits moves, cleans up after them, and recovers them',
      timeout: MOVE_TIMEOUTS.data,
      memorySize: BUSY_MEMORY,
      network: network.forTasks,
      environment: {
        ...this.#registries(),
        ...Cell.cachesEnvironment(cells),
        REPLICATION_TLS: replicationTls,
        REPLICATION_TLS_BETWEEN_REGIONS: replicationTlsBetweenRegions,
        MOVE_DUTY_CYCLE: String(dutyCycle),
        MOVE_MAX_PAUSE_MS: String(maxPauseMs),
        MOVE_CLEANUP_STATE_MACHINE_ARN: cleanUpArn,
        KEEP_DEDICATED_DAYS: String(keepDedicated ?? 0),
        KEEP_REPLACED_HOURS: String(settings.config.backups.undoHours),
      },
    });
    grantOwners(task, this.#props, ANY_TENANT);
    elsewhere.grantOwner(task);
    elsewhere.grantReadDedicated(task, ANY_TENANT);
    for (const cell of cells) {
      cell.grantStarter(task);
      // It ends what is cached of a place before the commit of a hop. The source is always in this region.
      cell.grantCache(task);
    }
    elsewhere.grantStarter(task);
    secrets.grantReadTenant(task, ANY_TENANT);
    elsewhere.grantReadTenant(task, ANY_TENANT);
    this.#grantDeleteTenant(task);
    this.#grantWatch(task);
    Grant.addToPrincipal({ grantee: task, actions: ['states:StartExecution'], resourceArns: [cleanUpArn] });
    return task;
  }

  #surveyTask(): StrataFunction {
    const { settings, registry, network, region } = this.#props;
    const task = new StrataFunction(this, 'survey', {
      ...settings,
      entry: 'tasks/move-survey',
      description: 'Move: Counts rows and bytes of a tenant, for dry runs',
      // The caller is an HTTP request, which has 30 seconds.
      timeout: Duration.seconds(25),
      functionName: surveyFunctionName(region.key),
      environment: this.#registries(),
      network: network.forTasks,
    });
    registry.grantWrite(task);
    grantOwners(task, this.#props, ANY_TENANT);
    return task;
  }

  #task({ description, ...props }: MoveTaskProps): StrataFunction {
    const { settings, registry, elsewhere } = this.#props;
    const id = props.entry.replace('tasks/move-', '');
    const task = new StrataFunction(this, id, {
      ...settings,
      ...props,
      description: `Move: ${description}`,
      watchedByWorkflow: true,
    });
    registry.grantWrite(task);
    elsewhere.grantRegistries(task);
    return task;
  }

  /** Environment of all functions of moves. */
  #registries() {
    return { ...this.#props.registry.writerEnvironment, ...this.#props.elsewhere.environment };
  }

  /** May delete the secret of any tenant's login role at the source or target of a move. */
  #grantDeleteTenant(grantee: IGrantable): void {
    this.#props.secrets.grantDeleteTenant(grantee, ANY_TENANT);
    this.#props.elsewhere.grantDeleteTenant(grantee, ANY_TENANT);
  }

  /** May read whether the execution of a move or clean-up is still running. */
  #grantWatch(grantee: IGrantable): void {
    for (const stateMachine of [STATE_MACHINES.move, STATE_MACHINES.moveCleanup, STATE_MACHINES.restore]) {
      const executions = this.#arn('execution', `${stateMachine}:*`);
      acknowledgePattern(
        grantee,
        executions,
        'Executions are named at run time; the pattern is bound to the one state machine.',
      );
      Grant.addToPrincipal({ grantee, actions: ['states:DescribeExecution'], resourceArns: [executions] });
    }
  }

  /** By name: the state machines depend on their functions, so the functions cannot refer to them. */
  #arn(resource: 'stateMachine' | 'execution', resourceName: string): string {
    return Stack.of(this).formatArn({
      service: 'states',
      resource,
      resourceName,
      arnFormat: ArnFormat.COLON_RESOURCE_NAME,
    });
  }
}
