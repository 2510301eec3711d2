import { randomUUID } from 'node:crypto';
import {
  DescribeExecutionCommand,
  GetExecutionHistoryCommand,
  SFNClient,
  StartExecutionCommand,
} from '@aws-sdk/client-sfn';
import type pg from 'pg';
import { afterAll, beforeAll, expect, test, vi } from 'vitest';
import { strata } from '../infra/cli/run-command.ts';
import { databaseOf } from './backup-runs.ts';
import { asSuperuser, clusters } from './platform-databases.ts';
import { ASK_EVERY_MS, call, operatorToken, platform } from './running-platform.ts';

const states = new SFNClient({
  endpoint: platform().awsUrl,
  region: 'us-east-1',
  credentials: { accessKeyId: 'any', secretAccessKey: 'any' },
});
type Slug = 'initech' | 'globex' | 'acme';
/** Where the tenant's rows are, and by which key the registry knows that database. */
interface Home {
  readonly client: pg.Client;
  readonly key: string;
  readonly tenantId: string;
  readonly schema: string;
  readonly shared: boolean;
}
const homes = new Map<Slug, Home>();

beforeAll(async () => {
  const token = await operatorToken();
  for (const slug of ['initech', 'globex', 'acme'] as const) {
    const { tenantId, cellId } = (await call('GET', `/tenants/${slug}`, { token })).body;
    const shared = slug === 'initech';
    homes.set(slug, { tenantId, key: cellId ?? tenantId, shared, ...(await databaseOf(tenantId)) });
  }
});
afterAll(() => Promise.all([...homes.values()].map(({ client }) => client.end())));

const homeOf = (slug: Slug) => homes.get(slug)!;

/** Rows of the audit log that are so many months old. */
async function writeRows(slug: Slug, months: number, count: number): Promise<void> {
  const { client, schema, shared, tenantId } = homeOf(slug);
  await client.query(
    `INSERT INTO ${schema}.audit_log (${shared ? 'tenant_id, ' : ''}action, resource_type, created_at)
     SELECT ${shared ? `'${tenantId}', ` : ''}'upkeep', 'test', now() - make_interval(months => $1)
     FROM generate_series(1, $2)`,
    [months, count],
  );
}

/** The ages in months of the test's rows, each with their number. */
async function ages(slug: Slug): Promise<Record<string, number>> {
  const { client, schema, shared, tenantId } = homeOf(slug);
  const { rows } = await client.query<{ age: number; count: number }>(
    `SELECT extract(year FROM a) * 12 + extract(month FROM a) AS age, count(*)::int AS count
     FROM (SELECT age(now(), created_at - interval '1 hour') AS a FROM ${schema}.audit_log
           WHERE action = 'upkeep' ${shared ? `AND tenant_id = '${tenantId}'` : ''}) ages GROUP BY 1 ORDER BY 1`,
  );
  return Object.fromEntries(rows.map(({ age, count }) => [Number(age), count]));
}

/** Runs the schedule by the command line; answers the execution that it started. */
async function tick(): Promise<string> {
  const { code, out, error } = await strata(['tick', 'partition-upkeep'], {
    AWS_ENDPOINT_URL: platform().awsUrl,
  });
  expect([code, error]).toEqual([0, '']);
  expect(out.trim()).toMatch(/^✔ strata-us-partition-upkeep {2}.* {2}started \S+$/);
  return out.trim().split(' ').at(-1)!;
}

async function start(): Promise<string> {
  const stateMachineArn = 'arn:aws:states:us-east-1:000000000000:stateMachine:partition-upkeep';
  const { executionArn } = await states.send(new StartExecutionCommand({ stateMachineArn }));
  return executionArn!;
}

/** Waits for the end of the execution; answers what it reported. */
async function runUpkeep(executionArn: string) {
  const execution = await vi.waitUntil(
    async () => {
      const described = await states.send(new DescribeExecutionCommand({ executionArn }));
      return described.status !== 'RUNNING' && described;
    },
    { timeout: 50_000, interval: ASK_EVERY_MS },
  );
  const { events = [] } = await states.send(
    new GetExecutionHistoryCommand({ executionArn, reverseOrder: true }),
  );
  const report = events.find(({ stateExitedEventDetails }) => stateExitedEventDetails?.name === 'Report');
  return { ...JSON.parse(report?.stateExitedEventDetails?.output ?? '{}').report, execution };
}

test('the schedule keeps all databases: months ahead are made again, rows go to their month, old rows of each tier go', async () => {
  const cell = homeOf('initech').client;
  const nameOf = async (months: number) => {
    const { rows } = await cell.query(
      `SELECT 'audit_log_' || to_char((now() + make_interval(months => $1)) AT TIME ZONE 'UTC', 'YYYY_MM') AS name`,
      [months],
    );
    return rows[0].name as string;
  };
  await cell.query(`DROP TABLE IF EXISTS shared.${await nameOf(3)}`);
  for (const months of [1, 14]) await writeRows('initech', months, 3);
  for (const months of [23, 25]) await writeRows('globex', months, 4);
  for (const months of [83, 85]) await writeRows('acme', months, 5);

  const report = await runUpkeep(await tick());

  // Other test files make and remove databases meanwhile; these are there throughout.
  for (const { key } of homes.values()) expect(report.failed).not.toContain(key);
  expect(report.databases).toBeGreaterThanOrEqual(2);
  expect(report.figures.rowsDrained).toBeGreaterThanOrEqual(3);
  expect(report.figures.rowsDeleted).toBeGreaterThanOrEqual(12);
  expect(await ages('initech')).toEqual({ 1: 3 });
  expect(await ages('globex')).toEqual({ 23: 4 });
  expect(await ages('acme')).toEqual({ 83: 5 });
  const { rows } = await cell.query<{ name: string }>(
    `SELECT relname AS name FROM pg_class WHERE relname LIKE 'audit\\_log\\_2%' AND relkind = 'r'`,
  );
  for (const months of [-1, 0, 1, 2, 3]) expect(rows.map(({ name }) => name)).toContain(await nameOf(months));

  const again = await runUpkeep(await start());
  expect(again.figures).toMatchObject({ partitionsAdded: 0, rowsDrained: 0, rowsDeleted: 0 });
});

test('a database that cannot be reached costs no other its upkeep; the execution fails and names it', async () => {
  const [cluster] = await clusters(platform(), 'registry');
  const registry = await asSuperuser(platform(), cluster!);
  const lost = randomUUID();
  await registry.query(
    `WITH tenant AS (
       INSERT INTO tenants (tenant_id, tenant_name, tenant_slug, isolation_model, schema_name, subscription_tier, status,
                            data_residency, home_region)
       VALUES ($1, $2, $2, 'dedicated', 'lost', 'enterprise', 'suspended', 'us', 'us') RETURNING tenant_id)
     INSERT INTO tenant_database_routing (tenant_id, database_host, database_port, database_name, schema_name,
                                          isolation_model, role_name, secret_arn, epoch, region, writer_host)
     SELECT tenant_id, 'proxy', 5432, 'strata', 'lost', 'dedicated', 'lost', 'none', 1, 'us', 'writer' FROM tenant`,
    [lost, `lost-${lost.slice(0, 8)}`],
  );
  try {
    await writeRows('globex', 25, 2);
    const { failed, execution } = await runUpkeep(await start());
    expect(failed).toContain(lost);
    expect(failed).not.toContain(homeOf('globex').key);
    expect(execution).toMatchObject({ status: 'FAILED', error: 'UpkeepIncomplete' });
    expect(execution.cause).toContain(lost);
    expect(await ages('globex')).not.toHaveProperty('25');
  } finally {
    await registry.query('DELETE FROM tenant_database_routing WHERE tenant_id = $1', [lost]);
    await registry.query('DELETE FROM tenants WHERE tenant_id = $1', [lost]);
    await registry.end();
  }
});
