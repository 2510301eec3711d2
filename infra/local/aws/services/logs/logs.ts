/**
 * CloudWatch Logs, as far as the project calls it: what functions write is in their files, other producers' events are
 * dropped. Log groups are those of the templates.
 *
 * States of a query: Running (until it is asked for once) → Complete. Queries are kept in memory, the latest hundred.
 */
import { randomUUID } from 'node:crypto';
import type { PlatformContext } from '../../../model.ts';
import { AwsError } from '../../errors.ts';
import type { Input } from '../../input.ts';
import type { AwsService, Call, Operation, Permission, ServiceModule } from '../../service.ts';
import { parseQuery, type Query } from './insights-query.ts';
import { type LogEvent, LogGroups, logGroupArn } from './log-groups.ts';

interface StartedQuery {
  readonly query: Query;
  readonly events: readonly LogEvent[];
  readonly scannedBytes: number;
  asked: boolean;
}

const QUERIES_KEPT = 100;
/** AWS's limits. */
const MOST_GROUPS_OF_A_QUERY = 50;
const LARGEST_PAGE = 10_000;

export function logs(context: PlatformContext): ServiceModule {
  return { service: wire(new LogGroups(context)), resources: [] };
}

function wire(groups: LogGroups): AwsService {
  const queries = new Map<string, StartedQuery>();

  const startQuery: Operation = {
    permissions: (input, call) => groupsOf(input).map((name) => permission('StartQuery', name, call)),
    run(input, { region }) {
      const names = groupsOf(input);
      if (names.length > MOST_GROUPS_OF_A_QUERY) {
        throw new AwsError('InvalidParameterException', 'A query takes at most 50 log groups');
      }
      const [from, to] = [input.integer('startTime') ?? 0, input.integer('endTime') ?? 0];
      if (from >= to) throw new AwsError('InvalidParameterException', 'startTime must be before endTime');
      const query = parseQuery(input.required('queryString'));
      const events = names
        .flatMap((name) => groups.events(name, region))
        // The end is included, and counts as a whole second.
        .filter(({ timestamp }) => timestamp >= from * 1_000 && timestamp < (to + 1) * 1_000);
      const queryId = randomUUID();
      const scannedBytes = events.reduce((sum, { message }) => sum + Buffer.byteLength(message), 0);
      queries.set(queryId, { query, events, scannedBytes, asked: false });
      for (const oldest of [...queries.keys()].slice(0, -QUERIES_KEPT)) queries.delete(oldest);
      return { queryId };
    },
  };

  const getQueryResults: Operation = {
    permissions: () => [{ action: 'logs:GetQueryResults', resource: '*' }],
    run(input) {
      const started = queryWith(queries, input);
      if (!started.asked) {
        started.asked = true;
        return { status: 'Running', results: [], statistics: {} };
      }
      const results = started.query.run(started.events);
      return {
        status: 'Complete',
        results,
        statistics: {
          recordsMatched: results.length,
          recordsScanned: started.events.length,
          bytesScanned: started.scannedBytes,
        },
      };
    },
  };

  const stopQuery: Operation = {
    permissions: () => [{ action: 'logs:StopQuery', resource: '*' }],
    run(input) {
      queryWith(queries, input);
      return { success: queries.delete(input.required('queryId')) };
    },
  };

  const describeLogGroups: Operation = {
    permissions: () => [{ action: 'logs:DescribeLogGroups', resource: '*' }],
    run(input, { region }) {
      const prefix = input.text('logGroupNamePrefix') ?? '';
      const pattern = input.text('logGroupNamePattern')?.toLowerCase() ?? '';
      const limit = input.integer('limit') ?? 50;
      const start = Number(input.text('nextToken') ?? 0);
      const found = groups
        .list(region)
        .filter(({ name }) => name.startsWith(prefix) && name.toLowerCase().includes(pattern));
      const page = found.slice(start, start + limit);
      return {
        logGroups: page.map(({ name, arn, retentionInDays, storedBytes }) => ({
          logGroupName: name,
          arn,
          logGroupArn: arn.slice(0, -2),
          storedBytes,
          ...(retentionInDays === undefined ? {} : { retentionInDays }),
        })),
        ...(found.length > start + limit ? { nextToken: String(start + limit) } : {}),
      };
    },
  };

  const filterLogEvents: Operation = {
    permissions: (input, call) => [permission('FilterLogEvents', input.required('logGroupName'), call)],
    run(input, { region }) {
      const name = input.required('logGroupName');
      const [from, to] = [
        input.integer('startTime') ?? 0,
        input.integer('endTime') ?? Number.POSITIVE_INFINITY,
      ];
      const matches = filterPattern(input.text('filterPattern') ?? '');
      const limit = Math.min(input.integer('limit') ?? LARGEST_PAGE, LARGEST_PAGE);
      const start = Number(input.text('nextToken') ?? 0);
      const found = groups
        .events(name, region)
        .filter(({ timestamp, message }) => timestamp >= from && timestamp <= to && matches(message));
      return {
        events: found.slice(start, start + limit).map(({ timestamp, message }, index) => ({
          logStreamName: 'local',
          timestamp,
          ingestionTime: timestamp,
          eventId: String(start + index),
          message,
        })),
        searchedLogStreams: [],
        ...(found.length > start + limit ? { nextToken: String(start + limit) } : {}),
      };
    },
  };

  const dropped = (action: string, isStream: boolean, answer: unknown = {}): Operation => ({
    permissions: (input, call) => {
      const group = logGroupArn(input.required('logGroupName'), call.region);
      const resource = isStream
        ? `${group.slice(0, -1)}log-stream:${input.required('logStreamName')}`
        : group;
      return [{ action: `logs:${action}`, resource }];
    },
    run: () => answer,
  });

  return {
    signingNames: ['logs'],
    prefix: 'logs',
    protocol: { kind: 'json', version: '1.1' },
    accessDenied: { code: 'AccessDeniedException', status: 400 },
    operations: {
      StartQuery: startQuery,
      GetQueryResults: getQueryResults,
      StopQuery: stopQuery,
      DescribeLogGroups: describeLogGroups,
      FilterLogEvents: filterLogEvents,
      CreateLogGroup: dropped('CreateLogGroup', false),
      CreateLogStream: dropped('CreateLogStream', true),
      PutLogEvents: dropped('PutLogEvents', true, { nextSequenceToken: '0' }),
    },
  };
}

function permission(action: string, name: string, { region }: Call): Permission {
  return { action: `logs:${action}`, resource: logGroupArn(name, region) };
}

/** @throws {AwsError} when the query names no group */
function groupsOf(input: Input): string[] {
  const one = input.text('logGroupName');
  const names = one === undefined ? input.texts('logGroupNames') : [one];
  if (names.length === 0) {
    throw new AwsError('InvalidParameterException', 'A query must name its log groups');
  }
  return names;
}

function queryWith(queries: ReadonlyMap<string, StartedQuery>, input: Input): StartedQuery {
  const found = queries.get(input.required('queryId'));
  if (!found) throw new AwsError('ResourceNotFoundException', 'The specified query does not exist.');
  return found;
}

/**
 * Terms, of which a line must have all; `-term` must not be in it. Other kinds of patterns are refused.
 * @throws {AwsError}
 */
function filterPattern(pattern: string): (message: string) => boolean {
  if (/^\s*[{[%]/.test(pattern)) {
    throw new AwsError('InvalidParameterException', 'Only patterns of terms are supported here');
  }
  const terms = [...pattern.matchAll(/(-?)(?:"((?:\\.|[^"])*)"|(\S+))/g)].map(([, minus, quoted, plain]) => ({
    text: quoted?.replace(/\\(.)/g, '$1') ?? plain ?? '',
    isExcluded: minus === '-',
  }));
  return (message) => terms.every(({ text, isExcluded }) => message.includes(text) !== isExcluded);
}
