import type { SFNClient } from '@aws-sdk/client-sfn';

const clients = new Map<string, Promise<SFNClient>>();

/**
 * The client of the region that an ARN names. Loaded at first use: SDK clients dominate a function's cold start. A call
 * that hangs must end in time to be told.
 */
function statesOf(arn: string): Promise<SFNClient> {
  const region = arn.split(':')[3] ?? '';
  let client = clients.get(region);
  if (!client) {
    client = import('@aws-sdk/client-sfn').then(
      ({ SFNClient }) =>
        new SFNClient({
          ...(region ? { region } : {}),
          requestHandler: { connectionTimeout: 3_000, requestTimeout: 8_000, throwOnRequestTimeout: true },
        }),
    );
    clients.set(region, client);
  }
  return client;
}

/** The ARN of what is called the same in another AWS region; undefined: in the same one. */
export function inAwsRegion(arn: string, awsRegion: string | undefined): string {
  if (awsRegion === undefined) return arn;
  const parts = arn.split(':');
  parts[3] = awsRegion;
  return parts.join(':');
}

/** What an execution of that name will be called by. */
export function executionArnOf(stateMachineArn: string, executionName: string): string {
  return `${stateMachineArn.replace(':stateMachine:', ':execution:')}:${executionName}`;
}

/** Whose execution it is. */
export function stateMachineArnOf(executionArn: string): string {
  return executionArn.replace(':execution:', ':stateMachine:').replace(/:[^:]*$/, '');
}

/** Starts an execution. Repeating it with the same name and input is the same execution. @throws Step Functions' error. */
export async function startExecution(stateMachineArn: string, name: string, input: object): Promise<void> {
  const { StartExecutionCommand } = await import('@aws-sdk/client-sfn');
  await (await statesOf(stateMachineArn)).send(
    new StartExecutionCommand({ stateMachineArn, name, input: JSON.stringify(input) }),
  );
}

/** `none`: there is no execution of that name (yet). `ended`: whichever way but by failing. */
export type ExecutionStatus = 'running' | 'failed' | 'ended' | 'none';

/** What has become of an execution. @throws Step Functions' error. */
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
