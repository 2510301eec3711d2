import * as z from 'zod';
import { queryLogs } from '../aws/log-queries.ts';
import { type UsageAggregationEnvironment, variable } from '../contracts/environments.ts';
import { aggregateUsage } from '../metering/aggregate-usage.ts';
import { promotionTask } from './promotion-task.ts';

/** One query ends within this time, in milliseconds, and what follows it in a run too. */
const QUERY_MS = 60_000;
const LAST_HOUR_MS = 4 * QUERY_MS;

/** Aggregates the hours of the log that are not final. The event has no input. */
export const handler = promotionTask('metering', z.object({}), async (_event, { registry, remainingMs }) =>
  aggregateUsage(registry, {
    region: variable<UsageAggregationEnvironment>('REGION_KEY'),
    now: Date.now(),
    mayGoOn: () => remainingMs() > LAST_HOUR_MS,
    ask: (text, from, to) =>
      queryLogs({
        text,
        from,
        to,
        logGroups: variable<UsageAggregationEnvironment>('API_LOG_GROUPS').split(','),
        patienceMs: QUERY_MS,
      }),
  }),
);
