import { statesClient } from './clients.ts';

/** The client of the region that an ARN names. */
const statesOf = (arn: string) => statesClient(arn.split(':')[3] || undefined);

/** The ARN of the resource with the same name in another AWS region; the given ARN when no region is given. */
export function inAwsRegion(arn: string, awsRegion: string | undefined): string {
  if (awsRegion === undefined) return arn;
  const parts = arn.split(':');
  parts[3] = awsRegion;
  return parts.join(':');
}

/** The ARN of the execution with that name. */
export function executionArnOf(stateMachineArn: string, executionName: string): string {
  return `${stateMachineArn.replace(':stateMachine:', ':execution:')}:${executionName}`;
}

/** The ARN of the state machine that an execution belongs to. */
export function stateMachineArnOf(executionArn: string): string {
  return executionArn.replace(':execution:', ':stateMachine:').replace(/:[^:]*$/, '');
}

/**
 * Starts an execution. A second call with the same name starts nothing and succeeds, also when the execution has ended
 * since: Step Functions accepts a repeated start while the execution runs, and refuses it afterwards. A first call may meet
 * that too, when its answer was lost and it was repeated, or when an equal request has started the execution.
 * @param name of this piece of work and of no other.
 * @throws Step Functions' own error.
 */
export async function startExecution(stateMachineArn: string, name: string, input: object): Promise<void> {
  const { ExecutionAlreadyExists, StartExecutionCommand } = await import('@aws-sdk/client-sfn');
  const command = new StartExecutionCommand({ stateMachineArn, name, input: JSON.stringify(input) });
  try {
    await (await statesOf(stateMachineArn)).send(command);
  } catch (error) {
    if (!(error instanceof ExecutionAlreadyExists)) throw error;
  }
}

/** `none`: no execution has that name (yet). `ended`: it succeeded, was aborted or timed out. */
export type ExecutionStatus = 'running' | 'failed' | 'ended' | 'none';

/** The state of an execution. @throws Step Functions' own error. */
export async function executionStatus(executionArn: string): Promise<ExecutionStatus> {
  const { DescribeExecutionCommand, ExecutionDoesNotExist } = await import('@aws-sdk/client-sfn');
  try {
    const { status } = await (await statesOf(executionArn)).send(
      new DescribeExecutionCommand({ executionArn }),
    );
    if (status === 'RUNNING' || status === 'PENDING_REDRIVE') return 'running';
    return status === 'FAILED' ? 'failed' : 'ended';
  } catch (error) {
    if (error instanceof ExecutionDoesNotExist) return 'none';
    throw error;
  }
}
