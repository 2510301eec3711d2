/**
 * The CloudFormation stack of a tenant's dedicated database, driven towards readiness one observation at a time: a
 * workflow calls `driveDedicatedStack` in a loop with what the last call returned.
 *
 *   none ──create──▶ creating ──CREATE_COMPLETE, cluster protected──▶ ready (its outputs are where the tenant can live)
 *                    creating ──fails──▶ clearing ──all of it gone──▶ none, CREATIONS times in one execution
 *   failed (of an earlier execution) ──▶ clearing
 *
 * Invariants: the stack's name is a function of the tenant, so there is never a second one; a stack that became ready
 * is never deleted here, nor its cluster; of a creation that failed everything is deleted before the next one, also what
 * a rollback could not delete and what the template retains. Cluster, proxy and log groups are named after the launch,
 * so nothing of an earlier one is in the way.
 */

import type { Stack } from '@aws-sdk/client-cloudformation';
import * as z from 'zod';
import { cloudFormationClient } from '../aws/clients.ts';
import type { Tier } from '../contracts/tenant.ts';
import { regionOfArn } from '../database/session/credentials.ts';
import {
  dedicatedClusterName,
  dedicatedSecretName,
  dedicatedStackName,
  tenantSecretName,
} from '../placement/tenant-names.ts';
import { hasCluster, removeDedicatedDatabase, setDeletionProtection } from './dedicated-cluster.ts';
import { DedicatedStackFailed, DedicatedStackTimeout } from './errors.ts';
import { type FailedCreation, readFailedCreation } from './failed-creation.ts';
import { requireRoomForDatabase } from './region-quotas.ts';
import { deleteSecret } from './tenant-secret.ts';

/** What the loop carries from one call to the next, as JSON. */
export const stackProgress = z.object({
  ready: z.boolean(),
  phase: z.enum(['creating', 'clearing', 'ready']),
  /** The stack that this execution saw being created. */
  stackId: z.string().nullable(),
  /** Creations that this execution saw failing. */
  failures: z.int().nonnegative().default(0),
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
  /** Whether the cluster is protected against deletion before the tenant gets it. */
  readonly deletionProtection: boolean;
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
/** How often one execution creates the stack. */
const CREATIONS = 3;
/** A creation takes a quarter of an hour, its rollback as long. */
const PATIENCE_MS = 4 * 60 * 60_000;

/**
 * Looks at the stack and does the one thing that is due: create it, protect its cluster, delete what a failed creation
 * has left, or nothing.
 * @returns how far it is, and the stack itself once it is ready.
 * @throws {DedicatedStackFailed} this execution saw too many creations fail, or the stack needs a person.
 * @throws {RegionQuotaExhausted} the region has no room for it.
 * @throws {DedicatedStackTimeout} it took too long.
 */
export async function driveDedicatedStack(
  launch: DedicatedLaunch,
  settings: DedicatedStackSettings,
  previous: StackProgress | undefined,
): Promise<{ progress: StackProgress; stack: Stack | undefined }> {
  const { since, failures } = previous ?? { since: new Date().toISOString(), failures: 0 };
  const { stack, ...advanced } = await advance(launch, settings, {
    failures,
    stackId: previous?.stackId ?? null,
  });
  const ready = advanced.phase === 'ready';
  if (!ready) requirePatience(since);
  return { progress: { failures, ...advanced, ready, since }, stack };
}

/** The progress of a launch that has to wait for something else. @throws {DedicatedStackTimeout} it took too long. */
export function waitForStack(previous: StackProgress | undefined): StackProgress {
  const since = previous?.since ?? new Date().toISOString();
  requirePatience(since);
  return { ready: false, phase: 'clearing', stackId: null, failures: previous?.failures ?? 0, since };
}

function requirePatience(since: string): void {
  if (Date.now() - Date.parse(since) > PATIENCE_MS) throw new DedicatedStackTimeout();
}

type Advance = Pick<StackProgress, 'phase' | 'stackId'> & { failures?: number; stack?: Stack };

async function advance(
  launch: DedicatedLaunch,
  settings: DedicatedStackSettings,
  { stackId: awaitedStackId, failures }: { stackId: string | null; failures: number },
): Promise<Advance> {
  // By its id a deleted stack is still found, by its name it is not.
  const stack = await describeStack(
    awaitedStackId ?? dedicatedStackName(launch.tenantId),
    settings.awsRegion,
  );
  if (!stack) return { phase: 'creating', stackId: await createStack(launch, settings) };
  const stackId = stack.StackId ?? null;
  switch (conditionOf(stack.StackStatus ?? '')) {
    case 'complete':
      if (!(await isProtected(stack, settings))) return { phase: 'creating', stackId };
      return { phase: 'ready', stackId, stack };
    case 'building':
      return { phase: 'creating', stackId };
    case 'leaving':
      return { phase: 'clearing', stackId: awaitedStackId };
    case 'failed': {
      const failure = await readFailedCreation(stack);
      const seen = awaitedStackId ? failures + 1 : failures;
      if (seen >= CREATIONS) throw givenUp(stack, failure, seen);
      await clear(stack, failure);
      return { phase: 'clearing', stackId: null, failures: seen };
    }
    case 'stuck':
      throw givenUp(stack, await readFailedCreation(stack), failures);
  }
}

/** One step of deleting a stack that failed. */
async function clear(stack: Stack, failure: FailedCreation): Promise<void> {
  if (stack.StackStatus === 'DELETE_COMPLETE') return;
  const awsRegion = regionOfArn(stack.StackId ?? '');
  const name = physicalNameOf(stack);
  if (!failure.neverComplete) {
    // It has held a tenant's data: only the deletion of a place that its tenant has left deletes that.
    if (name && (await hasCluster(name, awsRegion))) throw givenUp(stack, failure, 0);
  } else {
    if (name && !(await removeDedicatedDatabase(name, awsRegion))) return;
    for (const secret of failure.secrets) await deleteSecret(secret, awsRegion);
  }
  await deleteStack(stack);
}

/** Protects the cluster, once it is made: a protected one would keep a creation from being rolled back. */
async function isProtected(
  stack: Stack,
  { deletionProtection, awsRegion }: DedicatedStackSettings,
): Promise<boolean> {
  if (!deletionProtection) return true;
  const cluster = stack.Outputs?.find(({ OutputKey }) => OutputKey === 'ClusterIdentifier')?.OutputValue;
  if (!cluster) {
    throw new DedicatedStackFailed({
      cause: new Error(`${stack.StackName} has no output ClusterIdentifier`),
    });
  }
  try {
    await setDeletionProtection(cluster, true, awsRegion);
    return true;
  } catch (error) {
    // Such as during a backup: the next look tries again.
    const { name } = error as Error;
    if (name === 'InvalidDBClusterStateFault') return false;
    if (name !== 'DBClusterNotFoundFault') throw error;
    throw new DedicatedStackFailed({ detail: ', because its cluster is gone', cause: error });
  }
}

function conditionOf(status: string): 'building' | 'complete' | 'leaving' | 'failed' | 'stuck' {
  // An update, be it rolled back, leaves a stack that works; only a creation's failure makes it unusable.
  if (status === 'CREATE_COMPLETE' || /^(UPDATE|IMPORT)_.*COMPLETE/.test(status)) return 'complete';
  if (status === 'ROLLBACK_IN_PROGRESS' || status === 'DELETE_IN_PROGRESS') return 'leaving';
  if (status.endsWith('_IN_PROGRESS')) return 'building';
  return /^(CREATE_FAILED|ROLLBACK_(COMPLETE|FAILED)|DELETE_(COMPLETE|FAILED))$/.test(status)
    ? 'failed'
    : 'stuck';
}

/** Name of cluster and proxy; undefined where the stack is not of our template. */
export function physicalNameOf({ Parameters }: Stack): string | undefined {
  const parameter = (name: string) =>
    Parameters?.find(({ ParameterKey }) => ParameterKey === name)?.ParameterValue;
  const [tenantId, launchId] = [parameter('TenantId'), parameter('LaunchId')];
  return tenantId && launchId ? dedicatedClusterName(tenantId, launchId) : undefined;
}

/** @returns undefined where there is none; by its id a deleted stack is found too. */
export async function describeStack(
  nameOrId: string,
  awsRegion: string | undefined,
): Promise<Stack | undefined> {
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
  await requireRoomForDatabase(1 + Number(parameters.ReaderCount ?? 0), awsRegion);
  const client = await cloudFormationClient(awsRegion);
  const all: Record<string, string> = {
    ...parameters,
    TenantId: tenantId,
    TenantSlug: slug,
    // Of 8 characters. Milliseconds do: a second creation under the stack's name at the same time is refused.
    LaunchId: Date.now().toString(36),
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

/** Begins to delete a stack; it ends minutes later. */
export async function deleteStack(stack: Stack): Promise<void> {
  const { DeleteStackCommand } = await import('@aws-sdk/client-cloudformation');
  const client = await cloudFormationClient(regionOfArn(stack.StackId ?? ''));
  // By id: a stack that another execution created anew under the name stays.
  await client.send(new DeleteStackCommand({ StackName: stack.StackId ?? stack.StackName }));
}

/** What failed is told by its name in the template; CloudFormation's own words name resources and are for the log. */
function givenUp(stack: Stack, { cause, culprit }: FailedCreation, tries: number): DedicatedStackFailed {
  const detail = [tries > 1 ? `in ${tries} tries` : '', culprit ? `, because of ${culprit}` : ''].join('');
  return new DedicatedStackFailed({ detail, cause: new Error(`${stack.StackStatus} ${cause}`) });
}
