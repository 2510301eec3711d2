/**
 * Deployments to the running platform, like `cdk deploy --all`: stack by stack in the order of the assembly. A failed
 * stack is rolled back and ends the deployment; the stacks before it stay updated.
 *
 * States: idle ⇄ deploying; a second deployment is refused meanwhile.
 */
import { type AssemblyStack, readCloudAssembly } from './assembly/cloud-assembly.ts';
import { rememberDatabaseStacks, requireDatabaseStacks } from './assembly/database-stacks.ts';
import { AssetNotFound, DeploymentRunning, PlatformError } from './errors.ts';
import {
  type Assets,
  LOCAL_ACCOUNT,
  type Log,
  type PlatformContext,
  type ResourceEvent,
  type StackDeployer,
  type StackOutcome,
} from './model.ts';

export interface DeploymentOptions {
  /**
   * `Stack/LogicalId` of a resource after which the deployment fails on purpose, to test the rollback; the deployment
   * must change it, or nothing fails.
   */
  failAfter?: string;
  /** Called with each step of the deployment in one line. */
  report?: Log;
}

export interface DeploymentOutcome {
  status: 'deployed' | 'rolled-back' | 'rollback-failed';
  /** The deployed stacks in their order; only the last one can have failed. */
  stacks: StackOutcome[];
  /** Why it failed, in one line. */
  reason?: string;
}

export interface DeploymentsOptions {
  context: PlatformContext;
  deployer: Pick<StackDeployer, 'update'>;
  /** Regions whose stacks the platform can run: those that it was started with. */
  regions: ReadonlySet<string>;
  /** Makes the gateways serve the current stacks. */
  serve(): void;
  /** Publishes an event for the rules of the event bus. */
  announce(stack: { arn: string; region: string }, outcome: StackOutcome): void;
}

const ROLLED_BACK = new Set(['ROLLBACK_COMPLETE', 'UPDATE_ROLLBACK_COMPLETE']);
const FAILED = new Set([...ROLLED_BACK, 'ROLLBACK_FAILED', 'UPDATE_ROLLBACK_FAILED']);

export class Deployments {
  readonly #options: DeploymentsOptions;
  #running = false;

  constructor(options: DeploymentsOptions) {
    this.#options = options;
  }

  /**
   * Deploys an assembly. Requests are served throughout, each by the version that it began with.
   * @param directory of the assembly; functions run from there from now on, so it must stay
   * @throws {DeploymentRunning} {@link AssemblyError}
   * @throws {DatabaseStackMissing} when the assembly lacks a stack that has databases here
   * @throws {PlatformError} when the assembly has a region that the platform was not started with
   */
  async deploy(directory: string, options: DeploymentOptions = {}): Promise<DeploymentOutcome> {
    if (this.#running) throw new DeploymentRunning('another deployment is running: wait for its end');
    this.#running = true;
    try {
      const { log } = this.#options.context;
      log(`deploying ${directory}`);
      const outcome = await this.#deployAll(directory, options);
      log(`${outcome.status} ${directory}${outcome.reason === undefined ? '' : `: ${outcome.reason}`}`);
      return outcome;
    } finally {
      this.#running = false;
    }
  }

  async #deployAll(
    directory: string,
    { failAfter, report = () => {} }: DeploymentOptions,
  ): Promise<DeploymentOutcome> {
    const { context } = this.#options;
    const { stacks, assets } = readCloudAssembly(directory);
    this.#check(stacks, failAfter);
    // Assets of the last assembly stay, as in S3: a rollback uses them again.
    context.assets = either(assets, context.assets);
    const outcomes: StackOutcome[] = [];
    for (const stack of stacks) {
      const outcome = await this.#deployStack(stack, failAfter, report);
      outcomes.push(outcome);
      if (!FAILED.has(outcome.status)) {
        rememberDatabaseStacks(context.state, [stack]);
        continue;
      }
      const status = ROLLED_BACK.has(outcome.status) ? 'rolled-back' : 'rollback-failed';
      return { status, stacks: outcomes, reason: outcome.reason ?? '' };
    }
    return { status: 'deployed', stacks: outcomes };
  }

  async #deployStack(
    { name, region, template }: AssemblyStack,
    failAfter: string | undefined,
    report: Log,
  ): Promise<StackOutcome> {
    const { deployer, serve, announce } = this.#options;
    const arn = assemblyStackArn(name, region);
    const outcome = await deployer.update({
      name,
      arn,
      region,
      template,
      parameters: {},
      onChanged: serve,
      onEvent: (event) => report(`${name}  ${lineOf(event)}`),
      afterResource({ logicalId }) {
        if (failAfter === `${name}/${logicalId}`) {
          throw new PlatformError(`${failAfter}: the deployment was told to fail after this resource`);
        }
      },
    });
    const { status, reason } = outcome;
    report(`${name}  ${status}${reason === undefined ? '' : `  ${reason}`}`);
    if (status !== 'NO_CHANGES') announce({ arn, region }, outcome);
    return outcome;
  }

  #check(stacks: AssemblyStack[], failAfter: string | undefined): void {
    const foreign = stacks.find(({ region }) => !this.#options.regions.has(region));
    if (foreign) {
      throw new PlatformError(
        `stack ${foreign.name} is in ${foreign.region}, which the platform was started without: start it again with that region`,
      );
    }
    requireDatabaseStacks(this.#options.context.state, stacks);
    if (failAfter === undefined) return;
    const isThere = stacks.some(({ name, template }) =>
      Object.keys(template.Resources).some((logicalId) => failAfter === `${name}/${logicalId}`),
    );
    if (!isThere) throw new PlatformError(`the assembly has no resource ${failAfter}`);
  }
}

/** ARN of a stack of the assembly: the same at every start and in every deployment. */
export function assemblyStackArn(name: string, region: string): string {
  return `arn:aws:cloudformation:${region}:${LOCAL_ACCOUNT}:stack/${name}/local`;
}

function lineOf({ status, type, logicalId, reason }: ResourceEvent): string {
  return `${status}  ${type}  ${logicalId}${reason === undefined ? '' : `  ${reason}`}`;
}

function either(first: Assets, second: Assets): Assets {
  return {
    path(location) {
      try {
        return first.path(location);
      } catch (cause) {
        if (!(cause instanceof AssetNotFound)) throw cause;
        return second.path(location);
      }
    },
  };
}
