/** The log of requests, as the deployed function asks for it, summed up in a registry. */
import { InvokeCommand, LambdaClient } from '@aws-sdk/client-lambda';
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import { queryLogs } from '../../functions/aws/log-queries.ts';
import { aggregateUsage } from '../../functions/metering/aggregate-usage.ts';
import { type AskLog, requestFigures } from '../../functions/metering/request-figures.ts';
import { AlertRuns } from '../alerts/alert-runs.ts';
import { lambdaFunction, role } from '../local/aws/assembly.ts';
import { type EndpointFixture, startEndpoint } from '../local/aws/endpoint-fixture.ts';
import type { RegistryOverPostgres } from '../registry-over-postgres.ts';
import { TestDatabase } from '../test-database.ts';

const GROUP = '/aws/lambda/Print';
const at = (time: string) => Date.parse(`2026-05-04T${time}Z`);
const A = 'aaaaaaaa-0000-4000-8000-000000000001';
const B = 'bbbbbbbb-0000-4000-8000-000000000002';
const GONE = 'cccccccc-0000-4000-8000-000000000003';

let endpoint: EndpointFixture;
let database: TestDatabase;
let registry: RegistryOverPostgres;
beforeAll(async () => {
  endpoint = await startEndpoint([
    {
      name: 'Api',
      resources: { ...role('FunctionRole', []), ...lambdaFunction('Print', 'print', 'FunctionRole') },
    },
  ]);
  vi.stubEnv('AWS_ENDPOINT_URL_CLOUDWATCH_LOGS', endpoint.platform.awsUrl);
  vi.stubEnv('AWS_REGION', 'us-east-1');
  vi.stubEnv('AWS_ACCESS_KEY_ID', 'administrator');
  vi.stubEnv('AWS_SECRET_ACCESS_KEY', 'anything');
  database = await TestDatabase.cloneRegistry();
  registry = await database.registry();
  for (const [tenantId, status] of [
    [A, 'active'],
    [B, 'active'],
    [GONE, 'elsewhere'],
  ]) {
    await registry.query(
      `INSERT INTO tenants (tenant_id, tenant_name, tenant_slug, isolation_model, subscription_tier, status,
                            data_residency, home_region)
       VALUES (:tenantId::uuid, :tenantId, 't-' || :tenantId, 'shared', 'starter', :status, 'us', 'us')`,
      { tenantId, status },
    );
  }
});
afterAll(async () => {
  vi.unstubAllEnvs();
  await endpoint?.stop();
  await database?.drop();
});

const ask: AskLog = (text, from, to) => queryLogs({ text, from, to, logGroups: [GROUP], patienceMs: 10_000 });
const aggregate = (now: number, mayGoOn = () => true) =>
  aggregateUsage(registry, { region: 'us', ask, now, mayGoOn });

let written = 0;
/** Lines as the request log writes them, and waits until the log has them. */
async function write(...lines: { tenantId?: string; time: number; [field: string]: unknown }[]) {
  const lambda = new LambdaClient(endpoint.client());
  const texts = lines.map(({ time, ...fields }) =>
    JSON.stringify({
      _aws: { Timestamp: time },
      message: 'request',
      at: time,
      durationMs: 10.25,
      databaseMs: 4.5,
      errors: 0,
      bytesIn: 100,
      bytesOut: 1_000,
      ...fields,
    }),
  );
  await lambda.send(new InvokeCommand({ FunctionName: 'Print', Payload: JSON.stringify({ lines: texts }) }));
  written += lines.length;
  await vi.waitUntil(
    async () => {
      const [row] = await ask('stats count(*) as lines', 0, Date.now() + 86_400_000);
      return Number(row?.lines ?? 0) === written;
    },
    { timeout: 10_000, interval: 20 },
  );
}

const hours = (tenantId: string) =>
  registry.query<{ hour: string; requests: number }>(
    `SELECT to_char(hour at time zone 'UTC', 'HH24') AS hour, requests, errors, request_ms, database_ms, bytes_in,
            bytes_out FROM usage_hours WHERE tenant_id = :tenantId::uuid ORDER BY usage_hours.hour`,
    { tenantId },
  );
const day = async (tenantId: string) => {
  const [row] = await registry.query(
    `SELECT * FROM usage_days WHERE tenant_id = :tenantId::uuid AND day = '2026-05-04'`,
    { tenantId },
  );
  return row;
};

test('hours and days are the sums of each tenant’s requests, however often they are aggregated', async () => {
  await write(
    { tenantId: A, time: at('09:59:59.999'), actor: 'one' },
    { tenantId: A, time: at('10:00:00.000'), actor: 'one', errors: 1 },
    { tenantId: A, time: at('10:59:59.999'), actor: 'two' },
    { tenantId: B, time: at('10:30:00.000') },
    { tenantId: GONE, time: at('10:30:00.000') },
    { time: at('10:30:00.000') },
  );
  for (let run = 0; run < 2; run++) {
    expect(await aggregate(at('11:10:00'))).toMatchObject({ done: true });
    const hour = { requests: 1, errors: 0, request_ms: 10, database_ms: 5, bytes_in: 100, bytes_out: 1_000 };
    expect(await hours(A)).toEqual([
      { hour: '09', ...hour },
      { hour: '10', requests: 2, errors: 1, request_ms: 21, database_ms: 9, bytes_in: 200, bytes_out: 2_000 },
    ]);
    expect(await hours(B)).toEqual([{ hour: '10', ...hour }]);
    expect(await hours(GONE)).toEqual([]);
    expect(await day(A)).toMatchObject({
      requests: 3,
      errors: 1,
      request_ms: 31,
      bytes_out: 3_000,
      acting_users: 2,
    });
    expect(await day(B)).toMatchObject({ requests: 1, acting_users: 0 });
  }
});

test('a late line counts until its hour is two hours old, and not after that', async () => {
  // An hour and a half after its end it is still open.
  await aggregate(at('12:30:00'));
  await write({ tenantId: A, time: at('10:45:00'), actor: 'three' });
  await aggregate(at('12:59:00'));
  expect(await hours(A)).toMatchObject([{ requests: 1 }, { requests: 3 }]);
  expect(await day(A)).toMatchObject({ requests: 4, acting_users: 3 });
  await aggregate(at('13:10:00'));
  await write({ tenantId: A, time: at('10:46:00') });
  await aggregate(at('13:20:00'));
  expect(await hours(A)).toMatchObject([{ requests: 1 }, { requests: 3 }]);
});

test('after an outage of the schedule the hours are caught up with, and a run without time goes on later', async () => {
  await write({ tenantId: B, time: at('14:30:00') }, { tenantId: B, time: at('19:30:00') });
  let left = 3;
  const first = await aggregate(at('20:10:00'), () => left-- > 0);
  expect(first).toMatchObject({ done: false, hours: 3 });
  expect((await hours(B)).map(({ hour }) => hour)).not.toContain('19');
  expect(await aggregate(at('20:10:00'))).toMatchObject({ done: true });
  expect((await hours(B)).map(({ hour }) => hour)).toEqual(['10', '14', '19']);
  expect(await day(B)).toMatchObject({ requests: 3 });
});

test('bytes that were moved and backed up are the day’s, and those of kept backups too', async () => {
  await registry.query(
    `INSERT INTO tenant_moves (tenant_id, status, input, plan, report, started_by, finished_at)
     VALUES (:b::uuid, 'succeeded', '{}', '[]', '{"bytes": 7000}', 'test', '2026-05-04T08:00:00Z'),
            (:b::uuid, 'failed', '{}', '[]', null, 'test', '2026-05-04T08:00:00Z')`,
    { b: B },
  );
  const backup = `INSERT INTO tenant_backups (tenant_id, region, tier, isolation_model, epoch, schema_version, status,
                    prefix, started_by, bytes, finished_at, expires_at)
     VALUES (:b::uuid, 'us', 'starter', 'shared', 1, 1, 'succeeded', :prefix, 'test', :bytes::bigint,
             :finished::timestamptz, :expires::timestamptz)`;
  const take = (bytes: number, finished: string, expires: string) =>
    registry.query(backup, { b: B, bytes, finished, expires, prefix: `tenant-backups/starter/${bytes}/` });
  await take(500, '2026-05-04T03:00:00Z', '2026-05-11T03:00:00Z');
  await take(300, '2026-05-03T03:00:00Z', '2026-05-10T03:00:00Z');
  await take(200, '2026-04-20T03:00:00Z', '2026-04-27T03:00:00Z');
  await aggregate(at('20:20:00'));
  expect(await day(B)).toMatchObject({ moved_bytes: 7_000, backed_up_bytes: 500, kept_backup_bytes: 800 });
});

test('alert access-reading: within an hour a tenant’s requests are answered with many times its usual day', async () => {
  const present = Date.now();
  await registry.query(
    `UPDATE usage_aggregations SET final_until = date_trunc('hour', now()) WHERE region = 'us'`,
  );
  // Days that have passed.
  await registry.query(
    `INSERT INTO usage_days (tenant_id, day, requests, errors, request_ms, database_ms, bytes_in, bytes_out)
     SELECT tenant::uuid, (now() AT TIME ZONE 'UTC')::date - n, 9, 0, 90, 30, 900, usual
     FROM (VALUES (:a, 1000000), (:b, 90000000)) AS t (tenant, usual), generate_series(1, 3) n`,
    { a: A, b: B },
  );
  const alerts = new AlertRuns(registry);
  await aggregate(present);
  await alerts.run();
  expect(await alerts.alerts(A)).toEqual([]);
  // Both read 120 MB. That is much for the first tenant only.
  for (const tenantId of [A, B]) {
    await write(...Array.from({ length: 4 }, () => ({ tenantId, time: present, bytesOut: 30_000_000 })));
  }
  await aggregate(present);
  const alert = await alerts.opensOnceAndEnds({
    about: A,
    kind: 'access-reading',
    // Three hours later.
    end: () => registry.query(`UPDATE usage_hours SET hour = hour - interval '3 hours'`),
  });
  expect(alert.details).toMatchObject({ bytesOut: 120_000_000, usualOnADay: 1_000_000 });
  expect(await alerts.alerts(B)).toEqual([]);
});

describe('where a region has more tenants than a result has rows', () => {
  test('they are asked for in parts', async () => {
    const asked: string[] = [];
    const ids = Array.from(
      { length: 12_000 },
      (_, n) => `${(n % 16).toString(16)}0000000-0000-4000-8000-${String(n).padStart(12, '0')}`,
    );
    const figures = await requestFigures(
      async (text) => {
        asked.push(text);
        const prefix = /like \/\^(.)/.exec(text)?.[1] ?? '';
        return ids
          .filter((id) => id.startsWith(prefix))
          .slice(0, 10_000)
          .map((tenantId) => ({ tenantId, requests: '1' }));
      },
      0,
      1,
    );
    expect(asked).toHaveLength(17);
    expect(new Set(figures.map(({ tenantId }) => tenantId)).size).toBe(12_000);
  });
});
