/**
 * The CloudFormation stack of a tenant's dedicated database, driven towards readiness one observation at a time: a
 * workflow calls `driveDedicatedStack` in a loop with what the last call returned.
 *
 *   none ──create──▶ creating ──CREATE_COMPLETE──▶ ready (its outputs are where the tenant can live)
 *                    creating ──rollback begins──▶ DedicatedStackFailed, when this execution saw it being created
 *   failed (of an earlier attempt) ──delete──▶ clearing ──gone──▶ create
 *
 * Invariants: the stack's name is a function of the tenant, so there is never a second one; a stack that became ready
 * is never deleted; a failed one is deleted only when all it had created is gone, by an execution that was started after
 * it had failed.
 */
import type { Stack } from '@aws-sdk/client-cloudformation';
import * as z from 'zod';
import type { Tier } from '../database/registry/tenant-record.ts';
import { regionOfArn } from '../database/session/credentials.ts';
import { dedicatedSecretName, dedicatedStackName, tenantSecretName } from '../placement/tenant-names.ts';
import { cloudFormationClient } from './aws-clients.ts';
import { DedicatedStackFailed, DedicatedStackTimeout } from './errors.ts';

/** What the loop carries from one call to the next, as JSON. */
export const stackProgress = z.object({
  ready: z.boolean(),
  phase: z.enum(['creating', 'clearing', 'ready']),
  /** The stack that this execution saw being created. */
  stackId: z.string().nullable(),
  /** When this execution began to wait, RFC 3339. */
  since: z.string(),
});
export type StackProgress = z.output<typeof stackProgress>;

export interface DedicatedStackSettings {
  readonly templateUrl: string;
  /** Template parameters that are the same for every tenant: network, keys, capacity. */
  readonly parameters: Readonly<Record<string, string>>;
  /** Service role that CloudFormation acts as. */
  readonly roleArn: string;
  /** Where the stack stands; the function's own AWS region when absent. */
  readonly awsRegion?: string | undefined;
}

/** Whose stack it is, and what a new one is made with. */
export interface DedicatedLaunch {
  readonly tenantId: string;
  readonly slug: string;
  readonly tier: Tier;
  /** Login role of the tenant; a stack that exists keeps the one it was made with. */
  readonly roleName: string;
}

const CREATE_MINUTES = 60;
/** Besides creation, an earlier attempt's rollback and deletion have to fit. */
const PATIENCE_MS = 2 * CREATE_MINUTES * 60_000;

/**
 * Looks at the stack and does the one thing that is due: create it, delete a failed predecessor, or nothing.
 * @returns how far it is, and the stack itself once it is ready.
 * @throws {DedicatedStackFailed} the stack that this execution waits for failed.
 * @throws {DedicatedStackTimeout} it took too long.
 */
export async function driveDedicatedStack(
  launch: DedicatedLaunch,
  settings: DedicatedStackSettings,
  previous: StackProgress | undefined,
): Promise<{ progress: StackProgress; stack: Stack | undefined }> {
  const since = previous?.since ?? new Date().toISOString();
  const { phase, stackId, stack } = await advance(launch, settings, previous?.stackId ?? null);
  if (phase !== 'ready' && Date.now() - Date.parse(since) > PATIENCE_MS) throw new DedicatedStackTimeout();
  return { progress: { ready: phase === 'ready', phase, stackId, since }, stack };
}

async function advance(
  launch: DedicatedLaunch,
  settings: DedicatedStackSettings,
  awaitedStackId: string | null,
): Promise<Pick<StackProgress, 'phase' | 'stackId'> & { stack?: Stack }> {
  // By its id a deleted stack is still found, by its name it is not.
  const stack = await describeStack(
    awaitedStackId ?? dedicatedStackName(launch.tenantId),
    settings.awsRegion,
  );
  // Somebody deleted the stack that this execution waits for; by its name there is none any more.
  if (stack?.StackStatus === 'DELETE_COMPLETE') throw await failure(stack);
  if (!stack) return { phase: 'creating', stackId: await createStack(launch, settings) };
  const stackId = stack.StackId ?? null;
  switch (conditionOf(stack.StackStatus ?? '')) {
    case 'complete':
      return { phase: 'ready', stackId, stack };
    case 'building':
      return { phase: 'creating', stackId };
    case 'leaving':
      if (awaitedStackId) throw await failure(stack);
      return { phase: 'clearing', stackId: null };
    case 'failed':
      if (awaitedStackId) throw await failure(stack);
      await deleteStack(stack);
      return { phase: 'clearing', stackId: null };
    case 'stuck':
      throw await failure(stack);
  }
}

function conditionOf(status: string): 'building' | 'complete' | 'leaving' | 'failed' | 'stuck' {
  // An update, be it rolled back, leaves a stack that works; only a creation's failure makes it unusable.
  if (status === 'CREATE_COMPLETE' || /^(UPDATE|IMPORT)_.*COMPLETE/.test(status)) return 'complete';
  if (status === 'ROLLBACK_IN_PROGRESS' || status === 'DELETE_IN_PROGRESS') return 'leaving';
  if (status.endsWith('_IN_PROGRESS')) return 'building';
  // Only a stack that has nothing left may be deleted. What a rollback or deletion could not remove (a protected
  // cluster, say) would stay behind without a stack: that takes a person.
  return status === 'ROLLBACK_COMPLETE' ? 'failed' : 'stuck';
}

async function describeStack(nameOrId: string, awsRegion: string | undefined): Promise<Stack | undefined> {
  const { DescribeStacksCommand } = await import('@aws-sdk/client-cloudformation');
  const client = await cloudFormationClient(awsRegion);
  try {
    const { Stacks } = await client.send(new DescribeStacksCommand({ StackName: nameOrId }));
    return Stacks?.[0];
  } catch (error) {
    // CloudFormation has no error class for an unknown stack.
    if (error instanceof Error && error.name === 'ValidationError' && /does not exist/.test(error.message)) {
      return undefined;
    }
    throw error;
  }
}

/** Returns null when another execution created it meanwhile: the next look finds it. */
async function createStack(
  { tenantId, slug, tier, roleName }: DedicatedLaunch,
  { templateUrl, parameters, roleArn, awsRegion }: DedicatedStackSettings,
): Promise<string | null> {
  const { AlreadyExistsException, CreateStackCommand } = await import('@aws-sdk/client-cloudformation');
  const client = await cloudFormationClient(awsRegion);
  const all: Record<string, string> = {
    ...parameters,
    TenantId: tenantId,
    TenantSlug: slug,
    RoleName: roleName,
    SecretName: tenantSecretName(tenantId, roleName),
    OwnerSecretName: dedicatedSecretName(tenantId, 'owner'),
    MasterSecretName: dedicatedSecretName(tenantId, 'master'),
  };
  try {
    const { StackId } = await client.send(
      new CreateStackCommand({
        StackName: dedicatedStackName(tenantId),
        TemplateURL: templateUrl,
        Parameters: Object.entries(all).map(([ParameterKey, ParameterValue]) => ({
          ParameterKey,
          ParameterValue,
        })),
        RoleARN: roleArn,
        TimeoutInMinutes: CREATE_MINUTES,
        // Retained resources of a failed creation would keep their names from the next attempt.
        RetainExceptOnCreate: true,
        Tags: Object.entries({ 'strata:tenant-id': tenantId, 'strata:tier': tier }).map(([Key, Value]) => ({
          Key,
          Value,
        })),
      }),
    );
    return StackId ?? null;
  } catch (error) {
    if (error instanceof AlreadyExistsException) return null;
    throw error;
  }
}

async function deleteStack(stack: Stack): Promise<void> {
  const { DeleteStackCommand } = await import('@aws-sdk/client-cloudformation');
  const client = await cloudFormationClient(regionOfArn(stack.StackId ?? ''));
  // By id: a stack that another execution created anew under the name stays.
  await client.send(new DeleteStackCommand({ StackName: stack.StackId ?? stack.StackName }));
}

/** The reason that CloudFormation gives names resources, so it is for the log only. */
async function failure(stack: Stack): Promise<DedicatedStackFailed> {
  const { DescribeStackEventsCommand } = await import('@aws-sdk/client-cloudformation');
  const client = await cloudFormationClient(regionOfArn(stack.StackId ?? ''));
  const reasons = await client
    .send(new DescribeStackEventsCommand({ StackName: stack.StackId ?? stack.StackName }))
    .then(({ StackEvents }) =>
      (StackEvents ?? [])
        .filter((event) => event.ResourceStatus?.endsWith('_FAILED'))
        .map((event) => `${event.LogicalResourceId}: ${event.ResourceStatusReason}`)
        // Events come newest first; the first failure is the cause of the others.
        .reverse(),
    )
    .catch(() => []);
  return new DedicatedStackFailed({
    cause: new Error(`${stack.StackStatus} ${stack.StackStatusReason ?? ''} ${reasons.join('; ')}`),
  });
}
