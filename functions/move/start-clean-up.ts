import type { SFNClient } from '@aws-sdk/client-sfn';
import type { RegistryExecutor } from '../database/registry/data-api.ts';
import type { Hop } from './hop.ts';

let client: Promise<SFNClient> | undefined;

/**
 * Starts the execution that cleans up the place which the hop has left, and notes it with the hop. Its name is the
 * attempt's, so that however often this runs, there is one.
 * @throws the SDK's errors.
 */
export async function startCleanUp(
  registry: RegistryExecutor,
  { moveId, index, attempt }: Pick<Hop, 'moveId' | 'index' | 'attempt'>,
): Promise<void> {
  const stateMachineArn = process.env.MOVE_CLEANUP_STATE_MACHINE_ARN;
  if (!stateMachineArn) throw new Error('MOVE_CLEANUP_STATE_MACHINE_ARN is not set');
  const name = `cleanup-${attempt.attemptId}`;
  await startOnce(stateMachineArn, name, { moveId, hopIndex: index });
  await registry.query(
    `UPDATE tenant_move_hops SET cleanup_execution_arn = :executionArn, updated_at = now()
     WHERE move_id = :moveId::uuid AND hop_index = :index AND cleanup_execution_arn IS DISTINCT FROM :executionArn`,
    { moveId, index, executionArn: `${stateMachineArn.replace(':stateMachine:', ':execution:')}:${name}` },
  );
}

/** While the execution runs, starting it again is accepted; once it has ended, refused by this error. */
async function startOnce(stateMachineArn: string, name: string, input: object): Promise<void> {
  const sdk = await import('@aws-sdk/client-sfn');
  client ??= Promise.resolve(new sdk.SFNClient({}));
  try {
    await (await client).send(
      new sdk.StartExecutionCommand({ stateMachineArn, name, input: JSON.stringify(input) }),
    );
  } catch (error) {
    if (!(error instanceof sdk.ExecutionAlreadyExists)) throw error;
  }
}
