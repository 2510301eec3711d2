import { setTimeout as delay } from 'node:timers/promises';
import type { Parameter, Stack } from '@aws-sdk/client-cloudformation';
import { DATA_DATABASE } from '../../contracts/names.ts';
import { dedicatedOutputs } from '../../places/dedicated-outputs.ts';
import {
  type DedicatedLaunch,
  type DedicatedStackSettings,
  driveDedicatedStack,
  type StackProgress,
  stackProgress,
  waitForStack,
} from '../../places/dedicated-stack.ts';
import { DedicatedStackFailed } from '../../places/errors.ts';
import type { RegistryExecutor } from '../../registry/data-api.ts';
import { registrySql } from '../../registry/registry-sql.ts';
import { isBeingDeleted } from '../delete-left-database.ts';
import type { Hop, Place, StepContext, StepOutcome } from '../hop.ts';
import { targetTier } from './target-tier.ts';

const FIRST_PAUSE_MS = 500;
const LONGEST_PAUSE_MS = 5_000;

/**
 * Makes the tenant's own database, or finds the one that it had before, and fills in where it is. A stack takes a
 * quarter of an hour, so the workflow calls this until it is done. A database of before that is being deleted is waited
 * for, and then made anew.
 * @param registryThere of the region of the target.
 * @throws {MoveAborted} also while the stack is being made: it is left as it is, and the next launch adopts it.
 * @throws {DedicatedStackFailed} this execution saw too many creations fail, or the stack is not one of ours.
 * @throws {DedicatedStackTimeout} it took too long.
 */
export async function launchTarget(
  registry: RegistryExecutor,
  context: StepContext,
  settings: DedicatedStackSettings,
  cursor?: unknown,
  registryThere: RegistryExecutor = registry,
): Promise<StepOutcome<StackProgress>> {
  const { hop, deadline } = context;
  if (hop.target.isolationModel !== 'dedicated') return { done: true };
  const launch = await launchOf(registry, hop);
  let previous = stackProgress.optional().parse(cursor);
  for (let pause = FIRST_PAUSE_MS; ; pause = Math.min(pause * 1.5, LONGEST_PAUSE_MS)) {
    // Nobody should pay for a cluster that is not wanted any more.
    await context.progress({});
    // The stack of an earlier stay that is being deleted must not be adopted.
    const waits = await isBeingDeleted(registryThere, launch.tenantId, hop.target.region);
    const { progress, stack } = waits
      ? { progress: waitForStack(previous), stack: undefined }
      : await driveDedicatedStack(launch, settings, previous);
    if (stack) {
      await context.amendTarget(placeIn(stack));
      return { done: true, cursor: progress };
    }
    previous = progress;
    if (performance.now() + pause > deadline) return { done: false, cursor: progress };
    await delay(pause);
  }
}

async function launchOf(
  registry: RegistryExecutor,
  { attempt: { tenantId }, target }: Hop,
): Promise<DedicatedLaunch> {
  const tenant = await registrySql(registry)
    .selectFrom('tenants')
    .select('tenant_slug')
    .where('tenant_id', '=', tenantId)
    .executeTakeFirstOrThrow();
  return { tenantId, slug: tenant.tenant_slug, tier: targetTier(target), roleName: target.roleName };
}

/** Role and secret belong to the stack: one of an earlier stay has them from then, whatever this hop planned. */
function placeIn(stack: Stack): Partial<Place> {
  const outputs = dedicatedOutputs(stack);
  const { proxyHost: host, port, writerHost, readerHost, clusterArn, secretArn } = outputs;
  const roleName = parameterOf(stack.Parameters, 'RoleName');
  const { StackName: stackName } = stack;
  if (!roleName || !stackName) {
    throw new DedicatedStackFailed({ cause: new Error(`${stackName} has no parameter RoleName`) });
  }
  return {
    ...{ host, port, writerHost, readerHost, clusterArn, secretArn, stackName, roleName },
    ...{ database: DATA_DATABASE, ownerSecret: outputs.ownerSecretArn },
  };
}

function parameterOf(parameters: readonly Parameter[] | undefined, key: string): string | undefined {
  return parameters?.find(({ ParameterKey }) => ParameterKey === key)?.ParameterValue;
}
