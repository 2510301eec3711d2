import type { Stack } from '@aws-sdk/client-cloudformation';
import { rdsClient } from '../aws/clients.ts';
import { regionOfArn } from '../database/session/credentials.ts';
import { hasCluster, removeDedicatedDatabase } from './dedicated-cluster.ts';
import { deleteStack, describeStack, physicalNameOf } from './dedicated-stack.ts';
import { FinalSnapshotFailed } from './errors.ts';
import { deleteSecret } from './tenant-secret.ts';

/** The parts of a dedicated database that are deleted, by names that no other launch has. */
export interface DedicatedDatabase {
  readonly stackId: string;
  /** Name of the cluster and of the proxy. */
  readonly cluster: string;
  /** Names of the secrets of the login role, the owner and the master user. */
  readonly secrets: readonly string[];
}

/** The dedicated database of a stack. @returns undefined when there is no such stack, or it is not of our template. */
export async function findDedicatedDatabase(stackName: string): Promise<DedicatedDatabase | undefined> {
  const stack = await describeStack(stackName, undefined);
  const cluster = stack && physicalNameOf(stack);
  if (!stack?.StackId || !cluster) return undefined;
  return { stackId: stack.StackId, cluster, secrets: secretsOf(stack) };
}

function secretsOf({ Parameters = [] }: Stack): string[] {
  const names = ['SecretName', 'OwnerSecretName', 'MasterSecretName'];
  return Parameters.flatMap(({ ParameterKey = '', ParameterValue }) =>
    names.includes(ParameterKey) && ParameterValue ? [ParameterValue] : [],
  );
}

/**
 * Deletes a dedicated database permanently after a final snapshot, one step at a time:
 *
 *   snapshot available ─▶ proxy, instances, cluster gone ─▶ secrets gone ─▶ stack gone
 *
 * The cluster uses the stack's subnet group and the stack retains the cluster, so the stack is deleted last. Each step
 * takes minutes: call it until it is done. Steps that an earlier call has started or finished are not repeated.
 * @param snapshot name of the final snapshot, unique to this stay of the tenant; none is taken when absent.
 * @returns `snapshot` is null when the cluster was deleted by something else, without a snapshot.
 * @throws {FinalSnapshotFailed} nothing was deleted. And the errors of RDS, Secrets Manager and CloudFormation.
 */
export async function deleteDedicatedDatabase(
  { stackId, cluster, secrets }: DedicatedDatabase,
  snapshot?: { readonly name: string; readonly tags: Readonly<Record<string, string>> },
): Promise<{ done: boolean; snapshot: string | null }> {
  const awsRegion = regionOfArn(stackId);
  const state = snapshot ? await takeFinalSnapshot(cluster, snapshot, awsRegion) : 'none';
  const taken = snapshot === undefined || state === 'none' ? null : snapshot.name;
  if (state === 'creating') return { done: false, snapshot: taken };
  if (!(await removeDedicatedDatabase(cluster, awsRegion))) return { done: false, snapshot: taken };
  for (const secret of secrets) await deleteSecret(secret, awsRegion);
  return { done: await removeStack(stackId, awsRegion), snapshot: taken };
}

async function takeFinalSnapshot(
  cluster: string,
  { name, tags }: { readonly name: string; readonly tags: Readonly<Record<string, string>> },
  awsRegion: string | undefined,
): Promise<'creating' | 'available' | 'none'> {
  const {
    CreateDBClusterSnapshotCommand,
    DBClusterNotFoundFault,
    DBClusterSnapshotAlreadyExistsFault,
    DBClusterSnapshotNotFoundFault,
    DescribeDBClusterSnapshotsCommand,
    InvalidDBClusterStateFault,
  } = await import('@aws-sdk/client-rds');
  const client = await rdsClient(awsRegion);
  const named = { DBClusterSnapshotIdentifier: name };
  try {
    const { DBClusterSnapshots } = await client.send(new DescribeDBClusterSnapshotsCommand(named));
    const [found] = DBClusterSnapshots ?? [];
    if (found?.DBClusterIdentifier !== cluster) throw new FinalSnapshotFailed(name);
    if (found.Status === 'available') return 'available';
    if (found.Status === 'creating') return 'creating';
    throw new FinalSnapshotFailed(name);
  } catch (error) {
    if (!(error instanceof DBClusterSnapshotNotFoundFault)) throw error;
  }
  if (!(await hasCluster(cluster, awsRegion))) return 'none';
  try {
    await client.send(
      new CreateDBClusterSnapshotCommand({
        ...named,
        DBClusterIdentifier: cluster,
        Tags: Object.entries(tags).map(([Key, Value]) => ({ Key, Value })),
      }),
    );
  } catch (error) {
    // Another call was faster, the cluster is being changed, or it was deleted since: the next call reads the new
    // state.
    const passes = [DBClusterSnapshotAlreadyExistsFault, InvalidDBClusterStateFault, DBClusterNotFoundFault];
    if (!passes.some((each) => error instanceof each)) throw error;
  }
  return 'creating';
}

/** A failed deletion is tried again. */
async function removeStack(stackId: string, awsRegion: string | undefined): Promise<boolean> {
  const stack = await describeStack(stackId, awsRegion);
  if (!stack || stack.StackStatus === 'DELETE_COMPLETE') return true;
  if (stack.StackStatus !== 'DELETE_IN_PROGRESS') await deleteStack(stack);
  return false;
}

/**
 * Deletes a snapshot of a dedicated database.
 * @returns whether there was one; one that is still being made is deleted by a later call.
 * @throws RDS's errors.
 */
export async function deleteSnapshot(name: string, awsRegion?: string): Promise<boolean> {
  const { DBClusterSnapshotNotFoundFault, DeleteDBClusterSnapshotCommand } = await import(
    '@aws-sdk/client-rds'
  );
  try {
    const client = await rdsClient(awsRegion);
    await client.send(new DeleteDBClusterSnapshotCommand({ DBClusterSnapshotIdentifier: name }));
    return true;
  } catch (error) {
    if (error instanceof DBClusterSnapshotNotFoundFault) return false;
    throw error;
  }
}
