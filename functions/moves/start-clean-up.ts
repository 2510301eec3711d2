import { executionArnOf, startExecution } from '../aws/executions.ts';
import type { RegistryExecutor } from '../registry/data-api.ts';
import { now } from '../registry/registry-expressions.ts';
import { registrySql } from '../registry/registry-sql.ts';
import type { Hop } from './hop.ts';

/**
 * Starts the execution that cleans up the place which the hop has left, and notes it with the hop, unless recovery has
 * noted a later one. It is named for the attempt: however often this runs, also twice at once, there is one.
 * @param stateMachineArn of `tenant-move-cleanup`.
 * @throws Step Functions' error, or the registry's.
 */
export async function startCleanUp(
  registry: RegistryExecutor,
  { moveId, index, attempt }: Pick<Hop, 'moveId' | 'index' | 'attempt'>,
  stateMachineArn: string,
): Promise<void> {
  const name = `cleanup-${attempt.attemptId}`;
  try {
    await startExecution(stateMachineArn, name, { moveId, hopIndex: index });
  } catch (error) {
    // It has run already. While it runs, the same start is simply accepted.
    if ((error as Error).name !== 'ExecutionAlreadyExists') throw error;
  }
  const executionArn = executionArnOf(stateMachineArn, name);
  await registrySql(registry)
    .updateTable('tenant_move_hops')
    .set({ cleanup_execution_arn: executionArn, updated_at: now })
    .where('move_id', '=', moveId)
    .where('hop_index', '=', index)
    .where('cleanup_execution_arn', 'is', null)
    .execute();
}
