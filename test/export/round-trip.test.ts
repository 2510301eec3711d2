import { randomUUID } from 'node:crypto';
import fc from 'fast-check';
import type pg from 'pg';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { backedUpTables } from '../../functions/backups/plan-backup.ts';
import { createTable } from '../../functions/database/tables/render-tables.ts';
import { TENANT_SCHEMA_VERSION } from '../../functions/database/tables/schema-version.ts';
import { allRows, type BackedUp, BackupWorld } from '../backup/backup-world.ts';
import { insertRows, randomRows, type TableRows } from '../backup/random-rows.ts';
import { sampled } from '../full-run.ts';
import { TestDatabase } from '../test-database.ts';
import { exportFiles, load, parseCsv, psql } from './export-world.ts';

const tables = backedUpTables(TENANT_SCHEMA_VERSION);
const MODELS = ['shared', 'schema', 'dedicated'] as const;
let world: BackupWorld;
beforeAll(async () => {
  world = await BackupWorld.start();
  if (!psql) console.warn('psql is not installed: that it loads tenant.sql is not tested');
});
afterAll(() => world?.stop());

/** The rows of a table's CSV file. */
function rowsOfCsv(file: Buffer | undefined): TableRows[string] {
  const [header = [], ...records] = parseCsv(new TextDecoder('utf-8', { fatal: true }).decode(file));
  return records.map((record) =>
    Object.fromEntries(header.map((name, index) => [name, record[index] ?? null])),
  );
}

describe.each(sampled<(typeof MODELS)[number][]>(['shared'], [...MODELS]))(
  'an export of a tenant under the %s model',
  (model) => {
    let tenant: BackedUp;
    let neighbour: BackedUp;
    let superuser: pg.Client;
    const marker = `of the neighbour ${randomUUID()}`;
    beforeAll(async () => {
      tenant = await world.addTenant(model);
      neighbour = await world.addTenant(model);
      superuser = await tenant.database.connect('superuser');
      const beside = await neighbour.database.connect('superuser');
      const column = model === 'shared' ? ['tenant_id, ', `'${neighbour.tenantId}', `] : ['', ''];
      await beside.query(
        `INSERT INTO ${neighbour.schemaName}.skills (${column[0]}skill_name) VALUES (${column[1]}'${marker}')`,
      );
    });

    /** Replaces the tenant's rows by random rows, and calls `check` with the exported files and the rows. */
    async function each(
      runs: number,
      check: (files: Map<string, Buffer>, before: Record<string, string[]>) => Promise<void>,
    ) {
      const column = model === 'shared' ? tenant.tenantId : undefined;
      const own = column ? ` WHERE tenant_id = '${column}'` : '';
      await fc.assert(
        fc.asyncProperty(randomRows(tables, 5), fc.constantFrom(8_192, 2 ** 20), async (rows, partBytes) => {
          for (const { name } of tables.toReversed())
            await superuser.query(`DELETE FROM ${tenant.schemaName}.${name}${own}`);
          await insertRows(superuser, tenant.schemaName, tables, rows, column);
          const before = await allRows(superuser, tenant.schemaName, tables, column);
          const { backupId } = await world.backUp(tenant, { partBytes });
          await check(await exportFiles(world, tenant.tenantId, backupId), before);
        }),
        { numRuns: runs },
      );
    }

    test.runIf(psql)('psql loads tenant.sql into an empty database, row for row', { timeout: 120_000 }, () =>
      each(sampled(2, 6), async (files, before) => {
        const empty = await TestDatabase.empty();
        try {
          await load(files.get('tenant.sql')!, empty);
          const loaded = await empty.connect('superuser');
          expect(await allRows(loaded, 'public', tables)).toEqual(before);
        } finally {
          await empty.drop();
        }
      }),
    );

    test('its CSV files have the same rows, and no file has a row of another tenant', {
      timeout: 120_000,
    }, async () => {
      const empty = await TestDatabase.empty();
      const reading = await empty.connect('superuser');
      const target = { model: 'isolated' as const, schema: 'public', requestRole: 'none' };
      for (const table of tables)
        for (const statement of createTable(target, table, { keys: 'none' })) await reading.query(statement);
      await each(sampled(2, 6), async (files, before) => {
        for (const { name } of tables) await reading.query(`TRUNCATE ${name}`);
        const rows = Object.fromEntries(
          tables.map(({ name }) => [name, rowsOfCsv(files.get(`csv/${name}.csv`))]),
        );
        await insertRows(reading, 'public', tables, rows);
        expect(await allRows(reading, 'public', tables)).toEqual(before);
        for (const content of files.values()) {
          expect(content.includes(marker)).toBe(false);
          expect(content.includes(neighbour.tenantId)).toBe(false);
        }
      });
      await empty.drop();
    });
  },
);

test('the loaded database has the keys, checks, indexes and defaults of a tenant’s own tables', async () => {
  const tenant = await world.addTenant('schema');
  const { backupId } = await world.backUp(tenant);
  const files = await exportFiles(world, tenant.tenantId, backupId);
  if (!psql) return;
  const empty = await TestDatabase.empty();
  await load(files.get('tenant.sql')!, empty);
  const definitionOf = async (client: pg.Client, schema: string) => {
    const { rows } = await client.query<{ line: string }>(
      `SELECT replace(line, $1 || '.', 'public.') AS line FROM (
         SELECT conrelid::regclass || ' ' || conname || ' ' || pg_get_constraintdef(oid) AS line
         FROM pg_constraint WHERE connamespace = to_regnamespace($1) AND contype <> 'n'
         UNION ALL SELECT indexdef FROM pg_indexes WHERE schemaname = $1
         UNION ALL SELECT format('%s %s %s %s %s', table_name, column_name, data_type, is_nullable, column_default)
         FROM information_schema.columns WHERE table_schema = $1) AS lines
       WHERE line !~ '(idempotency_keys|move_markers|schema_migrations|skills_summary)' ORDER BY 1`,
      [schema],
    );
    return rows.map(({ line }) => line.replaceAll(`${schema}.`, ''));
  };
  const own = await definitionOf(await tenant.database.connect('superuser'), tenant.schemaName);
  const loaded = await definitionOf(await empty.connect('superuser'), 'public');
  const plain = (lines: string[]) => lines.map((line) => line.replaceAll('public.', '')).sort();
  expect(plain(loaded)).toEqual(plain(own));
  expect(loaded.length).toBeGreaterThan(100);
  await empty.drop();
});

test('the archive has a README and describes each column of its CSV files', async () => {
  const tenant = await world.addTenant('schema');
  const superuser = await tenant.database.connect('superuser');
  await superuser.query(
    `INSERT INTO ${tenant.schemaName}.employees (email, first_name, last_name, ssn_encrypted, job_title)
     VALUES ('a@b.test', '=HYPERLINK("x")', 'Ünal, "Z"', '\\x00ff', '')`,
  );
  const { backupId, snapshotAt } = await world.backUp(tenant);
  const files = await exportFiles(world, tenant.tenantId, backupId);
  const text = (path: string) => String(files.get(path));

  const names = tables.map(({ name }) => name);
  expect([...files.keys()].sort()).toEqual(
    [
      'README.txt',
      'account.json',
      'tenant.sql',
      ...names.map((name) => `csv/${name}.csv`),
      ...names.map((name) => `schemas/${name}.schema.json`),
    ].sort(),
  );
  expect(text('README.txt')).toContain(snapshotAt);
  expect(text('README.txt')).toContain('The values are exact.');
  // As they are written; by the header below, so that a further column changes nothing here.
  expect(text('csv/employees.csv')).toMatch(/,a@b\.test,"=HYPERLINK\(""x""\)","Ünal, ""Z""",/);
  const [header = [], row = []] = parseCsv(text('csv/employees.csv'));
  expect(Object.fromEntries(header.map((column, at) => [column, row[at]]))).toMatchObject({
    job_title: '',
    department: null,
    hire_date: null,
    status: 'active',
    profile_data: null,
    ssn_encrypted: '\\x00ff',
    salary_encrypted: null,
  });
  for (const table of tables) {
    const schema = JSON.parse(text(`schemas/${table.name}.schema.json`));
    const [header] = text(`csv/${table.name}.csv`).split('\r\n');
    expect(Object.keys(schema.properties)).toEqual(header?.split(','));
    expect(schema.required).toEqual(header?.split(','));
    expect(schema['x-primaryKey']).toEqual(table.primaryKey);
  }
  const { properties } = JSON.parse(text('schemas/employees.schema.json'));
  expect(properties.status).toMatchObject({ enum: ['active', 'inactive', 'on_leave', 'terminated'] });
  expect(properties.manager_id).toMatchObject({
    anyOf: [{ type: 'string', format: 'uuid', 'x-references': 'employees' }, { type: 'null' }],
  });
  const account = JSON.parse(text('account.json'));
  expect(account.tenant).toMatchObject({ tenantId: tenant.tenantId, tier: 'business' });
  expect(Object.keys(account)).toEqual(['tenant', 'users']);
  // Fields for operators are left out.
  for (const name of ['cellId', 'executionArn', 'monthlyRevenue', 'apiUrl', 'epoch'])
    expect(account.tenant).not.toHaveProperty(name);
});
