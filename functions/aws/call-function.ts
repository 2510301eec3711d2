import { lambdaClient } from './clients.ts';

/**
 * Calls a Lambda function once and waits for its answer.
 * @param name name or ARN of the function.
 * @param options `region`: AWS region of the function, our own when absent. `timeoutMs`: how long to wait.
 * @returns the function's answer, parsed from JSON.
 * @throws Lambda's own error, or an Error with the function's error as its message when the function failed.
 */
export async function callFunction(
  name: string,
  payload: object,
  { region, timeoutMs }: { region?: string | undefined; timeoutMs: number },
): Promise<unknown> {
  const { InvokeCommand } = await import('@aws-sdk/client-lambda');
  const client = await lambdaClient(region);
  const { FunctionError, Payload } = await client.send(
    new InvokeCommand({ FunctionName: name, Payload: JSON.stringify(payload) }),
    { requestTimeout: timeoutMs },
  );
  const answer = Buffer.from(Payload ?? []).toString('utf8');
  if (FunctionError) throw new Error(`${FunctionError}: ${answer}`);
  return JSON.parse(answer);
}

/**
 * Starts a Lambda function and does not wait for it.
 * @param region AWS region of the function, our own when absent. @throws Lambda's own error.
 */
export async function startFunction(name: string, payload: object, region?: string): Promise<void> {
  const { InvokeCommand } = await import('@aws-sdk/client-lambda');
  const client = await lambdaClient(region);
  const command = { FunctionName: name, InvocationType: 'Event', Payload: JSON.stringify(payload) } as const;
  await client.send(new InvokeCommand(command));
}
