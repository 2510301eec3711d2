import {
  CloudWatchLogsClient,
  DescribeLogGroupsCommand,
  FilterLogEventsCommand,
  GetQueryResultsCommand,
  StartQueryCommand,
} from '@aws-sdk/client-cloudwatch-logs';
import { InvokeCommand, LambdaClient } from '@aws-sdk/client-lambda';
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import { att, type FixtureStack, lambdaFunction, ref, role } from './assembly.ts';
import { type EndpointFixture, startEndpoint } from './endpoint-fixture.ts';

const HOUR = Date.parse('2026-05-04T10:00:00Z');
const HOUR_S = HOUR / 1_000;

const stack: FixtureStack = {
  name: 'Logs',
  resources: {
    Group: {
      Type: 'AWS::Logs::LogGroup',
      Properties: { LogGroupName: 'api-logs', RetentionInDays: 90 },
    },
    Other: { Type: 'AWS::Logs::LogGroup', Properties: { LogGroupName: 'other-logs' } },
    ...role('FunctionRole', []),
    ...lambdaFunction('Print', 'print', 'FunctionRole'),
    ...role('Reader', [
      { Action: ['logs:StartQuery', 'logs:FilterLogEvents'], Resource: att('Group', 'Arn') },
      { Action: 'logs:GetQueryResults', Resource: '*' },
    ]),
    ...role('Starter', [{ Action: 'logs:StartQuery', Resource: att('Group', 'Arn') }]),
  },
};
(stack.resources.Print as { Properties: Record<string, unknown> }).Properties.LoggingConfig = {
  LogGroup: ref('Group'),
};

let endpoint: EndpointFixture;
let logs: CloudWatchLogsClient;
const line = (fields: object) => JSON.stringify({ _aws: { Timestamp: HOUR + 60_000 }, ...fields });

beforeAll(async () => {
  endpoint = await startEndpoint([stack]);
  logs = new CloudWatchLogsClient(endpoint.client());
  const lines = [
    line({ message: 'request', tenantId: 'a', ms: 1.5, failed: 0, nested: { deep: 'x|y' } }),
    line({ message: 'request', tenantId: 'a', ms: 2.5, failed: 1 }),
    line({ message: 'request', tenantId: 'b', ms: 4, failed: 0, user: 'one' }),
    line({ message: 'request', ms: 8 }),
    JSON.stringify({ timestamp: '2026-05-04T11:30:00.000Z', message: 'request', tenantId: 'late', ms: 1 }),
    'plain text of the same time',
  ];
  const lambda = new LambdaClient(endpoint.client());
  await lambda.send(new InvokeCommand({ FunctionName: 'Print', Payload: JSON.stringify({ lines }) }));
  await vi.waitUntil(async () => (await filtered({ filterPattern: '"plain text"' })).length === 1, {
    timeout: 5_000,
    interval: 20,
  });
});
afterAll(() => endpoint?.stop());

async function filtered(input: object, client = logs) {
  const { events = [] } = await client.send(
    new FilterLogEventsCommand({ logGroupName: 'api-logs', ...input }),
  );
  return events;
}

/** The rows of a query, as objects. */
async function query(queryString: string, client = logs, group = 'api-logs') {
  const { queryId } = await client.send(
    new StartQueryCommand({
      logGroupNames: [group],
      queryString,
      startTime: HOUR_S,
      endTime: HOUR_S + 3_600,
    }),
  );
  const first = await client.send(new GetQueryResultsCommand({ queryId }));
  expect(first.status).toBe('Running');
  const { status, results = [] } = await client.send(new GetQueryResultsCommand({ queryId }));
  expect(status).toBe('Complete');
  return results.map((row) => Object.fromEntries(row.map(({ field, value }) => [field, value])));
}

describe('a query', () => {
  test('sums up by a field, within its time', async () => {
    const rows = await query(
      'filter message = "request" and ispresent(tenantId) | stats count(*) as requests, sum(ms) as time, sum(failed) as failures by tenantId | sort tenantId asc | limit 10',
    );
    expect(rows).toEqual([
      { tenantId: 'a', requests: '2', time: '4', failures: '1' },
      { tenantId: 'b', requests: '1', time: '4', failures: '0' },
    ]);
  });

  test.each([
    ['ms >= 4 and not tenantId = "a"', ['4', '8']],
    ['tenantId like /^[a-c]$/ and (ms < 2 or ms > 3)', ['1.5', '4']],
    ['tenantId in ["b", "z"]', ['4']],
    ['nested.deep like "x|y"', ['1.5']],
    ['@message like /"user"/', ['4']],
    ['ms != 8', ['1.5', '2.5', '4']],
  ])('has the lines for which %s', async (condition, found) => {
    const rows = await query(`fields ms | filter ${condition} | sort ms asc`);
    expect(rows.map(({ ms }) => ms)).toEqual(found);
  });

  test('counts different values, and no absent ones', async () => {
    expect(
      await query('stats count_distinct(tenantId) as tenants, count(user) as users, max(ms) as longest'),
    ).toEqual([{ tenants: '2', users: '1', longest: '8' }]);
  });

  test.each(['filter', 'parse @message "*"', 'stats sum(*)', 'filter a ==', 'limit 0', 'stats median(ms)'])(
    'with %s is refused',
    async (text) => {
      await expect(query(text)).rejects.toMatchObject({ name: 'MalformedQueryException' });
    },
  );

  test('of a group that does not exist is refused', async () => {
    await expect(query('fields ms', logs, 'none')).rejects.toMatchObject({
      name: 'ResourceNotFoundException',
    });
  });
});

describe('a role', () => {
  test('reads the groups that it is granted, and no other', async () => {
    const reader = new CloudWatchLogsClient(endpoint.client('Reader'));
    expect(await query('stats count(*) as n', reader)).toEqual([{ n: '4' }]);
    expect(await filtered({ filterPattern: 'late' }, reader)).toHaveLength(1);
    await expect(query('stats count(*) as n', reader, 'other-logs')).rejects.toMatchObject({
      name: 'AccessDeniedException',
    });
    await expect(reader.send(new DescribeLogGroupsCommand({}))).rejects.toMatchObject({
      name: 'AccessDeniedException',
    });
  });

  test('needs the right to read results too', async () => {
    const starter = new CloudWatchLogsClient(endpoint.client('Starter'));
    await expect(query('stats count(*) as n', starter)).rejects.toMatchObject({
      name: 'AccessDeniedException',
    });
  });
});

test('groups are those of the templates and of functions, with their retention', async () => {
  const { logGroups = [] } = await logs.send(new DescribeLogGroupsCommand({ logGroupNamePrefix: 'api' }));
  expect(logGroups).toMatchObject([
    {
      logGroupName: 'api-logs',
      retentionInDays: 90,
      arn: 'arn:aws:logs:us-east-1:000000000000:log-group:api-logs:*',
    },
  ]);
  expect(logGroups[0]?.storedBytes).toBeGreaterThan(100);
});

test('what was written is still there after a restart', async () => {
  await endpoint.restart();
  logs = new CloudWatchLogsClient(endpoint.client());
  expect(await filtered({ startTime: HOUR, endTime: HOUR + 3_599_999 })).toHaveLength(4);
});
