import type { SFNClient } from '@aws-sdk/client-sfn';

let client: Promise<SFNClient> | undefined;

/** Loaded at first use: SDK clients dominate a function's cold start. A call that hangs must end in time to be told. */
function states(): Promise<SFNClient> {
  client ??= import('@aws-sdk/client-sfn').then(
    ({ SFNClient }) =>
      new SFNClient({
        requestHandler: { connectionTimeout: 3_000, requestTimeout: 8_000, throwOnRequestTimeout: true },
      }),
  );
  return client;
}

/** What an execution of that name will be called by. */
export function executionArnOf(stateMachineArn: string, executionName: string): string {
  return `${stateMachineArn.replace(':stateMachine:', ':execution:')}:${executionName}`;
}

/** Starts an execution. Repeating it with the same name and input is the same execution. @throws Step Functions' error. */
export async function startExecution(stateMachineArn: string, name: string, input: object): Promise<void> {
  const { StartExecutionCommand } = await import('@aws-sdk/client-sfn');
  await (await states()).send(
    new StartExecutionCommand({ stateMachineArn, name, input: JSON.stringify(input) }),
  );
}

/** What an execution is; `none` where there is no such one. @throws Step Functions' error. */
export async function executionStatus(
  executionArn: string,
): Promise<'running' | 'failed' | 'ended' | 'none'> {
  const { DescribeExecutionCommand, ExecutionDoesNotExist } = await import('@aws-sdk/client-sfn');
  try {
    const { status } = await (await states()).send(new DescribeExecutionCommand({ executionArn }));
    if (status === 'RUNNING' || status === 'PENDING_REDRIVE') return 'running';
    return status === 'FAILED' ? 'failed' : 'ended';
  } catch (error) {
    if (error instanceof ExecutionDoesNotExist) return 'none';
    throw error;
  }
}

/** Whether the execution may still do something. @throws Step Functions' error. */
export async function isRunning(executionArn: string): Promise<boolean> {
  return (await executionStatus(executionArn)) === 'running';
}

/** @throws Step Functions' error. */
export async function hasFailed(executionArn: string): Promise<boolean> {
  return (await executionStatus(executionArn)) === 'failed';
}
