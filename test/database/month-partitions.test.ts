import type pg from 'pg';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { ddlTransaction } from '../../functions/database/ddl/ddl-connection.ts';
import { bootstrapDataDatabase } from '../../functions/database/provisioning/bootstrap-data-database.ts';
import {
  ensureMonthPartitions,
  monthOf,
  partitionName,
} from '../../functions/database/tables/month-partitions.ts';
import { asTenant, enterTenant } from '../enter-tenant.ts';
import { TestDatabase, type TestTenant } from '../test-database.ts';

let database: TestDatabase;
let owner: pg.Client;
let tenant: TestTenant;
beforeAll(async () => {
  database = await TestDatabase.clone();
  owner = await database.connect('owner');
  tenant = await database.addTenant('shared');
});
afterAll(() => database.drop());

const ensure = (from: string, months: number) =>
  ddlTransaction(owner, (transaction) =>
    ensureMonthPartitions(transaction, 'shared', new Date(from), months),
  );

const line = (time: string) =>
  `INSERT INTO audit_log (action, resource_type, created_at) VALUES ('a', 'r', '${time}')`;

test('months are added over the turn of a year, once, and take their rows', async () => {
  await ensure('2031-11-30T23:59:59Z', 3);
  await ensure('2031-12-01T00:00:00Z', 3);
  const client = await database.connect('starter');
  for (const time of ['2031-11-01T00:00:00Z', '2031-12-31T23:59:59.999999Z', '2032-02-15T12:00:00Z']) {
    await asTenant(client, tenant, 'write', () => client.query(line(time)));
  }
  const superuser = await database.connect('superuser');
  const { rows } = await superuser.query(
    'SELECT tableoid::regclass::text AS partition, count(*)::int AS rows FROM shared.audit_log GROUP BY 1 ORDER BY 1',
  );
  expect(rows).toEqual(
    ['2031_11', '2031_12', '2032_02'].map((month) => ({ partition: `shared.audit_log_${month}`, rows: 1 })),
  );
});

test('a new month keys, indexes and guards its rows like the others', async () => {
  await ensure('2033-01-01T00:00:00Z', 1);
  const describeTable = async (name: string) =>
    (
      await owner.query(
        `SELECT relrowsecurity, relforcerowsecurity,
           (SELECT array_agg(indkey::text ORDER BY indkey::text) FROM pg_index WHERE indrelid = c.oid) AS keys,
           (SELECT array_agg(pg_get_expr(polwithcheck, polrelid)) FROM pg_policy WHERE polrelid = c.oid) AS policies,
           (SELECT array_agg(pg_get_expr(adbin, adrelid) ORDER BY adnum) FROM pg_attrdef WHERE adrelid = c.oid) AS defaults
         FROM pg_class c WHERE oid = $1::regclass`,
        [name],
      )
    ).rows;
  expect(await describeTable('shared.audit_log_2033_01')).toEqual(
    await describeTable('shared.audit_log_default'),
  );
});

test('a month is added while requests write to the log', async () => {
  const client = await database.connect('starter');
  await enterTenant(client, tenant, 'write');
  await client.query(line(new Date().toISOString()));
  await ensure('2034-01-01T00:00:00Z', 1);
  await client.query('COMMIT');
});

test('a month of which the default partition has rows is left out, without an error, and those after it are added', async () => {
  const client = await database.connect('starter');
  await asTenant(client, tenant, 'write', () => client.query(line('2035-03-05T00:00:00Z')));
  const missing = await ensure('2035-03-01T00:00:00Z', 3);
  expect(missing).toEqual(['audit_log_2035_03']);
  const { rows } = await owner.query(
    `SELECT relname FROM pg_class WHERE relname LIKE 'audit\\_log\\_2035%' AND relkind = 'r' ORDER BY 1`,
  );
  expect(rows.map(({ relname }) => relname)).toEqual(['audit_log_2035_04', 'audit_log_2035_05']);
});

test('bootstrap succeeds on a database whose current month has rows in the default partition', async () => {
  const master = await database.connect('master');
  const month = monthOf(new Date());
  await owner.query(`DROP TABLE shared.${partitionName({ name: 'audit_log' }, month)}`);
  const client = await database.connect('starter');
  await asTenant(client, tenant, 'write', () => client.query(line(new Date().toISOString())));
  const { owner: ownerLogin, starter } = database.server.logins;
  await bootstrapDataDatabase(master, {
    ownerPassword: ownerLogin.password,
    shared: true,
    starter: { roleName: starter.user, password: starter.password },
  });
  await asTenant(client, tenant, 'write', () => client.query(line(new Date().toISOString())));
  const seen = await asTenant(client, tenant, 'read', () =>
    client.query('SELECT count(*)::int AS rows FROM audit_log WHERE created_at >= $1', [month.first]),
  );
  expect(seen.rows[0].rows).toBeGreaterThanOrEqual(2);
});
