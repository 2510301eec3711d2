/**
 * The CloudFormation stack of a tenant's dedicated database. Each call of `driveDedicatedStack` observes it once and
 * takes one step towards readiness; a workflow calls it in a loop with the result of the last call.
 *
 *   none ──create──▶ creating ──CREATE_COMPLETE, cluster protected──▶ ready (its outputs are the tenant's place)
 *                    creating ──fails──▶ clearing ──everything deleted──▶ none, CREATIONS times in one execution
 *   failed (of an earlier execution) ──▶ clearing
 *
 * Invariants: the stack's name is a function of the tenant and the size, so there is never a second one; a stack that became ready
 * is never deleted here, nor its cluster; after a failed creation everything is deleted before the next one, including
 * what a rollback could not delete and what the template retains. Cluster, proxy and log groups are named after the
 * launch, so they do not collide with those of an earlier one.
 */

import type { Stack } from '@aws-sdk/client-cloudformation';
import * as z from 'zod';
import { cloudFormationClient } from '../aws/clients.ts';
import { type DatabaseSize, DEFAULT_DATABASE_SIZE } from '../contracts/database-size.ts';
import type { Tier } from '../contracts/tenant.ts';
import { regionOfArn } from '../database/session/credentials.ts';
import {
  dedicatedClusterName,
  dedicatedSecretName,
  dedicatedStackName,
  tenantSecretName,
} from '../placement/tenant-names.ts';
import { hasCluster, removeDedicatedDatabase, setDeletionProtection } from './dedicated-cluster.ts';
import { DedicatedStackFailed, DedicatedStackTimeout, SizeNotOffered } from './errors.ts';
import { type FailedCreation, readFailedCreation } from './failed-creation.ts';
import { requireRoomForDatabase } from './region-quotas.ts';
import { deleteSecret } from './tenant-secret.ts';

/** State that the loop passes from one call to the next, as JSON. */
export const stackProgress = z.object({
  ready: z.boolean(),
  phase: z.enum(['creating', 'clearing', 'ready']),
  /** The stack whose creation this execution observed. */
  stackId: z.string().nullable(),
  /** Failed creations that this execution observed. */
  failures: z.int().nonnegative().default(0),
  /** When this execution began to wait, RFC 3339. */
  since: z.string(),
});
export type StackProgress = z.output<typeof stackProgress>;

export interface DedicatedStackSettings {
  readonly templateUrl: string;
  /** Template parameters that are the same for every tenant: network and keys. */
  readonly parameters: Readonly<Record<string, string>>;
  /** The other parameters of each size. Empty for a region whose last deployment knew no sizes: it has the usual one. */
  readonly sizes: Partial<Readonly<Record<DatabaseSize, Readonly<Record<string, string>>>>>;
  /** Service role that CloudFormation assumes. */
  readonly roleArn: string;
  /** True when the cluster must be protected against deletion before the tenant gets it. */
  readonly deletionProtection: boolean;
  /** AWS region of the stack; the function's own when absent. */
  readonly awsRegion?: string | undefined;
}

/** The tenant of the stack, and the parameters of a new one. */
export interface DedicatedLaunch {
  readonly tenantId: string;
  readonly slug: string;
  readonly tier: Tier;
  /** Login role of the tenant; an existing stack keeps its role. */
  readonly roleName: string;
  readonly size: DatabaseSize;
}

const CREATE_MINUTES = 60;
/** How often one execution creates the stack. */
const CREATIONS = 3;
/** A creation takes a quarter of an hour, and its rollback takes the same. */
const PATIENCE_MS = 4 * 60 * 60_000;

/**
 * Reads the stack's state and takes the next step: create it, protect its cluster, delete the rest of a failed
 * creation, or nothing.
 * @returns its progress, and the stack itself when it is ready.
 * @throws {DedicatedStackFailed} too many creations failed in this execution, or an operator must look at the stack.
 * @throws {RegionQuotaExhausted} the region has no room for it.
 * @throws {SizeNotOffered} the region's deployment is older than the size.
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

/** Progress of a launch that waits for something else. @throws {DedicatedStackTimeout} it took too long. */
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
  // A deleted stack is found by its id, but not by its name.
  const stack = await describeStack(
    awaitedStackId ?? dedicatedStackName(launch.tenantId, launch.size),
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

/** One step of deleting a failed stack. */
async function clear(stack: Stack, failure: FailedCreation): Promise<void> {
  if (stack.StackStatus === 'DELETE_COMPLETE') return;
  const awsRegion = regionOfArn(stack.StackId ?? '');
  const name = physicalNameOf(stack);
  if (!failure.neverComplete) {
    // It has held a tenant's data: only the clean-up after a move or an offboarding may delete it.
    if (name && (await hasCluster(name, awsRegion))) throw givenUp(stack, failure, 0);
  } else {
    if (name && !(await removeDedicatedDatabase(name, awsRegion))) return;
    for (const secret of failure.secrets) await deleteSecret(secret, awsRegion);
  }
  await deleteStack(stack);
}

/** Protects the cluster after its creation: protection during the creation would prevent a rollback. */
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
    // For example during a backup: the next call tries again.
    const { name } = error as Error;
    if (name === 'InvalidDBClusterStateFault') return false;
    if (name !== 'DBClusterNotFoundFault') throw error;
    throw new DedicatedStackFailed({ detail: ', because its cluster is gone', cause: error });
  }
}

function conditionOf(status: string): 'building' | 'complete' | 'leaving' | 'failed' | 'stuck' {
  // After an update, even a rolled-back one, the stack works; only a failed creation makes it unusable.
  if (status === 'CREATE_COMPLETE' || /^(UPDATE|IMPORT)_.*COMPLETE/.test(status)) return 'complete';
  if (status === 'ROLLBACK_IN_PROGRESS' || status === 'DELETE_IN_PROGRESS') return 'leaving';
  if (status.endsWith('_IN_PROGRESS')) return 'building';
  return /^(CREATE_FAILED|ROLLBACK_(COMPLETE|FAILED)|DELETE_(COMPLETE|FAILED))$/.test(status)
    ? 'failed'
    : 'stuck';
}

/** Name of cluster and proxy; undefined when the stack is not of our template. */
export function physicalNameOf({ Parameters }: Stack): string | undefined {
  const parameter = (name: string) =>
    Parameters?.find(({ ParameterKey }) => ParameterKey === name)?.ParameterValue;
  const [tenantId, launchId] = [parameter('TenantId'), parameter('LaunchId')];
  return tenantId && launchId ? dedicatedClusterName(tenantId, launchId) : undefined;
}

/** @returns undefined when there is none. By its id a deleted stack is found too. */
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

/** Returns null when another execution created it meanwhile: the next call finds it. */
async function createStack(
  { tenantId, slug, tier, roleName, size }: DedicatedLaunch,
  { templateUrl, parameters, sizes, roleArn, awsRegion }: DedicatedStackSettings,
): Promise<string | null> {
  const { AlreadyExistsException, CreateStackCommand } = await import('@aws-sdk/client-cloudformation');
  const sized = sizes[size];
  if (!sized && size !== DEFAULT_DATABASE_SIZE) throw new SizeNotOffered(size);
  const { ReaderCount = '0' } = { ...parameters, ...sized };
  await requireRoomForDatabase(1 + Number(ReaderCount), awsRegion);
  const client = await cloudFormationClient(awsRegion);
  const all: Record<string, string> = {
    ...parameters,
    ...sized,
    TenantId: tenantId,
    TenantSlug: slug,
    // 8 characters. Milliseconds are precise enough: two creations under one stack name cannot run at the same time.
    LaunchId: Date.now().toString(36),
    RoleName: roleName,
    SecretName: tenantSecretName(tenantId, roleName),
    OwnerSecretName: dedicatedSecretName(tenantId, 'owner', size),
    MasterSecretName: dedicatedSecretName(tenantId, 'master', size),
  };
  try {
    const { StackId } = await client.send(
      new CreateStackCommand({
        StackName: dedicatedStackName(tenantId, size),
        TemplateURL: templateUrl,
        Parameters: Object.entries(all).map(([ParameterKey, ParameterValue]) => ({
          ParameterKey,
          ParameterValue,
        })),
        RoleARN: roleArn,
        TimeoutInMinutes: CREATE_MINUTES,
        // Retained resources of a failed creation would block their names for the next attempt.
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

/** Starts the deletion of a stack, which takes minutes. */
export async function deleteStack(stack: Stack): Promise<void> {
  const { DeleteStackCommand } = await import('@aws-sdk/client-cloudformation');
  const client = await cloudFormationClient(regionOfArn(stack.StackId ?? ''));
  // By id, so that a stack that another execution created under the same name stays.
  await client.send(new DeleteStackCommand({ StackName: stack.StackId ?? stack.StackName }));
}

/**
 * The message has the logical id of the failed resource; CloudFormation's own texts name physical resources and are
 * only logged.
 */
function givenUp(stack: Stack, { cause, culprit }: FailedCreation, tries: number): DedicatedStackFailed {
  const detail = [tries > 1 ? `in ${tries} tries` : '', culprit ? `, because of ${culprit}` : ''].join('');
  return new DedicatedStackFailed({ detail, cause: new Error(`${stack.StackStatus} ${cause}`) });
}
