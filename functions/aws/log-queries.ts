import { setTimeout as delay } from 'node:timers/promises';
import { logsClient } from './clients.ts';
import { LogQueryFailed } from './errors.ts';

/** A query of CloudWatch Logs Insights. */
export interface LogQuery {
  readonly text: string;
  /** At most 50. */
  readonly logGroups: readonly string[];
  /** Milliseconds since the epoch. The service takes whole seconds: the query itself must compare exact times. */
  readonly from: number;
  readonly to: number;
  /** How long to wait for the result, in milliseconds. */
  readonly patienceMs: number;
}

/** Rows of a result, at most: a result with so many may have been cut. */
export const MOST_LOG_ROWS = 10_000;

const POLL_MS = 200;

/**
 * Runs the query and waits for its result.
 * @returns the fields of each row by their names.
 * @throws {LogQueryFailed} it failed or took too long; the SDK's errors.
 */
export async function queryLogs({
  text,
  logGroups,
  from,
  to,
  patienceMs,
}: LogQuery): Promise<Record<string, string>[]> {
  const { StartQueryCommand, GetQueryResultsCommand, StopQueryCommand } = await import(
    '@aws-sdk/client-cloudwatch-logs'
  );
  const client = await logsClient();
  const deadline = performance.now() + patienceMs;
  const { queryId } = await client.send(
    new StartQueryCommand({
      logGroupNames: [...logGroups],
      startTime: Math.floor(from / 1_000),
      endTime: Math.ceil(to / 1_000),
      queryString: text,
      limit: MOST_LOG_ROWS,
    }),
  );
  for (;;) {
    const { status, results = [] } = await client.send(new GetQueryResultsCommand({ queryId }));
    if (status === 'Complete') {
      return results.map((row) => Object.fromEntries(row.map(({ field, value }) => [field, value ?? ''])));
    }
    if (status !== 'Running' && status !== 'Scheduled') throw new LogQueryFailed(`it ended as ${status}`);
    if (performance.now() + POLL_MS > deadline) {
      await client.send(new StopQueryCommand({ queryId })).catch(() => {});
      throw new LogQueryFailed('it took too long');
    }
    await delay(POLL_MS);
  }
}
