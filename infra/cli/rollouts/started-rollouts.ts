import { setTimeout as delay } from 'node:timers/promises';
import { DescribeExecutionCommand, ListExecutionsCommand, type SFNClient } from '@aws-sdk/client-sfn';
import { type ApiClient, bodyOf } from '../api-client.ts';
import { rolloutReport } from './rollout-json.ts';

const POLL_MS = 500;

/**
 * Waits for the rollouts whose executions were started since a moment, and reports the outcome of each.
 * @param stateMachineArn of `schema-rollout`. @param since epoch milliseconds.
 * @throws the API's or Step Functions' error.
 */
export async function followStartedRollouts(
  {
    states,
    stateMachineArn,
    api,
  }: { states: SFNClient; stateMachineArn: string; api: () => Promise<ApiClient> },
  since: number,
  tell: (line: string) => void,
): Promise<void> {
  const { executions = [] } = await states.send(
    new ListExecutionsCommand({ stateMachineArn, maxResults: 10 }),
  );
  for (const { executionArn, startDate } of executions) {
    if (Number(startDate) < since) continue;
    const running = async () => {
      const { status } = await states.send(new DescribeExecutionCommand({ executionArn }));
      return status === 'RUNNING';
    };
    while (await running()) await delay(POLL_MS);
    const client = await api();
    const rollout = (await client.all('/rollouts')).find((each) => each.executionArn === executionArn);
    if (!rollout) continue;
    const complete = await bodyOf(
      client.operations.GET('/rollouts/{rolloutId}', {
        params: { path: { rolloutId: rollout.rolloutId } },
      }),
    );
    for (const line of rolloutReport(complete)) tell(`rollout ${line}`);
  }
}
