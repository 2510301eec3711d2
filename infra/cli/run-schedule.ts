import { randomUUID } from 'node:crypto';
import { InvokeCommand } from '@aws-sdk/client-lambda';
import type { GetScheduleCommandOutput } from '@aws-sdk/client-scheduler';
import { StartExecutionCommand } from '@aws-sdk/client-sfn';
import type { AwsClients } from './aws-clients.ts';
import { CommandError } from './errors.ts';

/**
 * Runs a schedule's target now with the schedule's input, with the caller's own rights: a function is awaited, an
 * execution only started.
 * @returns what came of it, in a few words
 * @throws {CommandError} when the function failed
 */
export async function runSchedule(
  schedule: GetScheduleCommandOutput,
  { lambda, states }: AwsClients,
): Promise<string> {
  const arn = schedule.Target?.Arn ?? '';
  const input = inputOf(schedule);
  if (arn.startsWith('arn:aws:states:')) {
    const { executionArn } = await states.send(new StartExecutionCommand({ stateMachineArn: arn, input }));
    return `started ${executionArn}`;
  }
  if (!arn.startsWith('arn:aws:lambda:')) throw new CommandError(`cannot run ${arn}`);
  const { FunctionError, Payload } = await lambda.send(
    new InvokeCommand({ FunctionName: arn, Payload: input }),
  );
  const text = Payload ? Buffer.from(Payload).toString('utf8') : '';
  if (!FunctionError) return text === '' || text === 'null' ? 'done' : `answered ${shortened(text)}`;
  const { errorType = FunctionError, errorMessage = '' } = JSON.parse(text || '{}') as Record<string, string>;
  throw new CommandError(`${errorType}: ${errorMessage}`);
}

/** With the context attributes of EventBridge Scheduler filled in. */
function inputOf({ Arn = '', Target }: GetScheduleCommandOutput): string {
  return (Target?.Input ?? '{}')
    .replaceAll('<aws.scheduler.schedule-arn>', Arn)
    .replaceAll('<aws.scheduler.scheduled-time>', new Date().toISOString().replace(/\.\d{3}Z$/, 'Z'))
    .replaceAll('<aws.scheduler.execution-id>', randomUUID())
    .replaceAll('<aws.scheduler.attempt-number>', '1');
}

function shortened(text: string): string {
  return text.length <= 200 ? text : `${text.slice(0, 199)}…`;
}
