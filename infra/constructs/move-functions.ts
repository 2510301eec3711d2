import { ArnFormat, Duration, Stack } from 'aws-cdk-lib';
import { Grant, type IGrantable } from 'aws-cdk-lib/aws-iam';
import { Construct } from 'constructs';
import { MOVE_TIMEOUTS } from '../../workflows/move-timeouts.ts';
import type { TenantMoveProps } from '../../workflows/tenant-move.ts';
import type { RegionConfig } from '../config.ts';
import { acknowledgePattern } from './acknowledge-finding.ts';
import type { Cell } from './cell.ts';
import type { DedicatedDatabases } from './dedicated-databases.ts';
import type { RegionGrants } from './region-grants.ts';
import type { RegionNetwork } from './region-network.ts';
import type { Registry } from './registry.ts';
import type { RunTimeSecrets } from './run-time-secrets.ts';
import { type FunctionSettings, StrataFunction } from './strata-function.ts';

export interface MoveFunctionsProps {
  readonly settings: FunctionSettings;
  readonly region: RegionConfig;
  readonly registry: Registry;
  readonly network: RegionNetwork;
  readonly cells: readonly Cell[];
  readonly secrets: RunTimeSecrets;
  readonly dedicated: DedicatedDatabases;
  /** A tenant may move to another region: what a task may do here, it may do there. */
  readonly elsewhere: RegionGrants;
}

interface TaskOptions {
  readonly timeout?: Duration;
  readonly memorySize?: number;
  readonly environment?: Record<string, string>;
  readonly functionName?: string;
  /** It has nothing to do in other regions. */
  readonly ownRegionOnly?: boolean;
}

const ANY_TENANT =
  'The task works for whichever tenant the execution names, so its secret is known by pattern only.';
/** Rows that are copied, hashed or compared pass through the databases, but plans and cursors through the function. */
const BUSY_MEMORY = 1024;
const { short, medium, long, longest } = MOVE_TIMEOUTS;

/** By name, since the operators' API, in a stack that this one depends on, calls it. */
export const surveyFunctionName = (regionKey: string): string => `strata-${regionKey}-move-survey`;

/**
 * The task functions of moves and what each of them may do. All of them read and write the registry; those that work
 * at a database run in the VPC and sign in as the owner of any cell's or Enterprise tenant's database.
 */
export class MoveFunctions extends Construct {
  readonly tasks: TenantMoveProps['tasks'];
  readonly cleanUp: StrataFunction;
  /** Of a dedicated database that its tenant has left; outside of the network, since it works with the AWS APIs. */
  readonly deleteDatabase: StrataFunction;
  readonly recover: StrataFunction;
  /** Those that may find that both places differ. */
  readonly comparing: readonly StrataFunction[];
  /** Rows and bytes of a tenant, for dry runs. */
  readonly survey: StrataFunction;
  readonly #props: MoveFunctionsProps;

  constructor(scope: Construct, id: string, props: MoveFunctionsProps) {
    super(scope, id);
    this.#props = props;
    const { cells, secrets, dedicated, settings, elsewhere } = props;
    const cleanUpArn = this.#stateMachine('tenant-move-cleanup');
    const startsCleanUp = { MOVE_CLEANUP_STATE_MACHINE_ARN: cleanUpArn };
    const pause = { MOVE_MAX_PAUSE_MS: String(settings.config.moves.maxPauseMs) };

    // It recovers a former move of the tenant first, whose execution is dead, with all that this takes.
    const begin = this.#atDatabases('begin', 'Plans the move and makes it the only one of the tenant', {
      timeout: longest,
    });
    this.#grantWatch(begin);
    this.#grantDeleteTenant(begin);
    const nextHop = this.#task('next-hop', 'Opens the next hop of the move');
    const finish = this.#task('finish', 'Gives the tenant its new tier and the move its report');

    const launch = this.#task('launch', "Launches the tenant's dedicated database, or finds it", {
      timeout: medium,
      environment: dedicated.launchEnvironment,
    });
    dedicated.grantLaunch(launch);
    elsewhere.grantLaunch(launch, dedicated);
    const bootstrap = this.#inVpc('bootstrap', 'Prepares roles and tenancy of a dedicated database');
    secrets.grantReadDedicated(bootstrap, ANY_TENANT);
    elsewhere.grantReadDedicated(bootstrap, ANY_TENANT);
    const credentials = this.#task('credentials', 'Creates the secret of the role at the target', {
      environment: { SECRETS_KMS_KEY_ARN: secrets.keyArn },
    });
    secrets.grantCreateTenant(credentials);
    secrets.grantReadTenant(credentials, ANY_TENANT);
    elsewhere.grantCreateTenant(credentials, ANY_TENANT);
    elsewhere.grantReadTenant(credentials, ANY_TENANT);
    const proxy = this.#task('proxy', "Registers the target's secret with the cell's proxy", {
      timeout: medium,
    });
    for (const cell of cells) cell.grantProxyAuth(proxy);
    elsewhere.grantProxyAuth(proxy);

    const prepare = this.#atDatabases('prepare', 'Claims the tenant and makes its objects at the target', {
      timeout: longest,
      environment: {
        REPLICATION_TLS: settings.config.moves.replicationTls,
        REPLICATION_TLS_BETWEEN_REGIONS: settings.config.moves.replicationTlsBetweenRegions,
      },
    });
    secrets.grantReadTenant(prepare, ANY_TENANT);
    elsewhere.grantReadTenant(prepare, ANY_TENANT);
    const copy = this.#atDatabases('copy', "Copies the tenant's rows", {
      timeout: longest,
      memorySize: BUSY_MEMORY,
      environment: { MOVE_DUTY_CYCLE: String(settings.config.moves.dutyCycle) },
    });
    const index = this.#atDatabases('index', 'Builds indexes and foreign keys at the target', {
      timeout: longest,
      memorySize: BUSY_MEMORY,
    });
    const catchUp = this.#atDatabases('catch-up', 'Applies what changed since, and compares', {
      timeout: longest,
      memorySize: BUSY_MEMORY,
      environment: pause,
    });
    for (const cell of cells) cell.grantStarter(catchUp);
    elsewhere.grantStarter(catchUp);
    secrets.grantReadTenant(catchUp, ANY_TENANT);
    elsewhere.grantReadTenant(catchUp, ANY_TENANT);
    const cutOver = this.#atDatabases('cut-over', "Pauses the tenant's writes and commits the move", {
      timeout: long,
      environment: pause,
    });
    const compare = this.#atDatabases('compare', 'Compares both places after the commit', {
      timeout: long,
      memorySize: BUSY_MEMORY,
    });
    const settle = this.#atDatabases('settle', 'Makes the registry follow and starts the clean-up', {
      environment: startsCleanUp,
    });
    this.#grantStartCleanUp(settle, cleanUpArn);
    const rollBack = this.#atDatabases('roll-back', 'Takes back what is not committed', { timeout: longest });
    this.#grantDeleteTenant(rollBack);
    this.tasks = {
      ...{ begin, nextHop, launch, bootstrap, credentials, prepare, proxy, copy, index, catchUp },
      ...{ cutOver, compare, settle, finish, rollBack },
    };

    this.recover = this.#atDatabases('recover', 'Settles or rolls back the moves of ended executions', {
      timeout: longest,
      environment: startsCleanUp,
    });
    this.#grantDeleteTenant(this.recover);
    this.#grantStartCleanUp(this.recover, cleanUpArn);
    this.#grantWatch(this.recover);
    // What is left of a move that has crossed over goes on there, whoever of them finds it done.
    for (const task of [finish, begin, rollBack, this.recover]) elsewhere.grantStartMove(task);
    this.comparing = [begin, catchUp, cutOver, compare, rollBack, this.recover];
    this.cleanUp = this.#atDatabases('clean-up', 'Drops what the tenant left at its old place', {
      timeout: longest,
      environment: { KEEP_DEDICATED_DAYS: String(settings.config.moves.keepDedicated ?? 0) },
    });
    this.deleteDatabase = this.#task(
      'delete-database',
      'Deletes the dedicated database that the tenant left',
      {
        timeout: medium,
        // A move is cleaned up in the region that the tenant left by it.
        ownRegionOnly: true,
      },
    );
    dedicated.grantDelete(this.deleteDatabase);
    this.#grantDeleteTenant(this.cleanUp);
    this.survey = this.#atDatabases('survey', 'Counts rows and bytes of a tenant, for dry runs', {
      // Whoever asks is an HTTP request, which has 30 seconds.
      timeout: Duration.seconds(25),
      functionName: surveyFunctionName(props.region.key),
      // Each region has one.
      ownRegionOnly: true,
    });
  }

  /** It reaches AWS services only. */
  #task(name: string, description: string, options: TaskOptions = {}): StrataFunction {
    return this.#function(name, description, { timeout: short, ...options });
  }

  #inVpc(name: string, description: string, options: TaskOptions = {}): StrataFunction {
    return this.#function(name, description, { timeout: medium, ...options }, true);
  }

  /** It signs in as the owner of source and target, wherever they are. */
  #atDatabases(name: string, description: string, options: TaskOptions = {}): StrataFunction {
    const task = this.#inVpc(name, description, options);
    const { cells, secrets, elsewhere } = this.#props;
    for (const cell of cells) cell.grantOwner(task);
    secrets.grantReadDedicated(task, ANY_TENANT);
    if (options.ownRegionOnly) return task;
    elsewhere.grantOwner(task);
    elsewhere.grantReadDedicated(task, ANY_TENANT);
    return task;
  }

  #function(name: string, description: string, options: TaskOptions, inVpc = false): StrataFunction {
    const { settings, registry, network, elsewhere } = this.#props;
    const task = new StrataFunction(this, name, {
      ...settings,
      ...options,
      entry: `tasks/move-${name}`,
      retriedByWorkflow: name !== 'recover' && name !== 'survey',
      description: `Move: ${description}`,
      environment: { ...registry.writerEnvironment, ...elsewhere.environment, ...options.environment },
      ...(inVpc ? { network: network.forTasks } : {}),
    });
    registry.grantWrite(task);
    if (!options.ownRegionOnly) elsewhere.grantRegistries(task);
    return task;
  }

  /** May delete the secret of any tenant's login role, wherever the tenant is moved to or from. */
  #grantDeleteTenant(grantee: IGrantable): void {
    this.#props.secrets.grantDeleteTenant(grantee, ANY_TENANT);
    this.#props.elsewhere.grantDeleteTenant(grantee, ANY_TENANT);
  }

  #grantStartCleanUp(grantee: IGrantable, cleanUpArn: string): void {
    Grant.addToPrincipal({ grantee, actions: ['states:StartExecution'], resourceArns: [cleanUpArn] });
  }

  /** May see whether an execution that a move or its clean-up names is still running. */
  #grantWatch(grantee: IGrantable): void {
    for (const stateMachine of ['tenant-move', 'tenant-move-cleanup']) {
      const executions = this.#arn('execution', `${stateMachine}:*`);
      acknowledgePattern(
        grantee,
        executions,
        'Executions are named at run time; the pattern is bound to the one state machine.',
      );
      Grant.addToPrincipal({ grantee, actions: ['states:DescribeExecution'], resourceArns: [executions] });
    }
  }

  /** By name: the state machine depends on its functions, so they cannot refer to it. */
  #stateMachine(name: string): string {
    return this.#arn('stateMachine', name);
  }

  #arn(resource: 'stateMachine' | 'execution', resourceName: string): string {
    return Stack.of(this).formatArn({
      service: 'states',
      resource,
      resourceName,
      arnFormat: ArnFormat.COLON_RESOURCE_NAME,
    });
  }
}
