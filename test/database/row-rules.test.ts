/** The rules of version 4: what they refuse, and what becomes of older rows that break them. */
import { randomUUID } from 'node:crypto';
import type pg from 'pg';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { thisRelease } from '../../functions/database/provisioning/release.ts';
import {
  updateSharedTables,
  updateTenantSchema,
} from '../../functions/database/provisioning/update-target.ts';
import { migrationsUpTo } from '../../functions/database/tables/tenant-migrations.ts';
import { tenantTablesAt } from '../../functions/database/tables/tenant-tables.ts';
import { asTenant } from '../enter-tenant.ts';
import { TestDatabase, type TestTenant } from '../test-database.ts';

const RULES_SINCE = 4;
const before = {
  ...thisRelease,
  schemaVersion: RULES_SINCE - 1,
  migrations: migrationsUpTo(RULES_SINCE - 1),
  tables: tenantTablesAt(RULES_SINCE - 1),
};
const shared = { starterRole: 'strata_starter', relocating: [] };

let database: TestDatabase;
let owner: pg.Client;
let superuser: pg.Client;
beforeAll(async () => {
  database = await TestDatabase.clone();
  owner = await database.connect('owner');
  superuser = await database.connect('superuser');
});
afterAll(() => database.drop());

/** A tenant in tables that a release before the rules made. */
async function addOlder(model: 'shared' | 'schema'): Promise<TestTenant> {
  if (model === 'schema') return database.addTenant(model, randomUUID(), RULES_SINCE - 1);
  await superuser.query(`DROP SCHEMA shared CASCADE; DROP TABLE tenancy.shared_schema_migrations;
    CREATE SCHEMA shared AUTHORIZATION strata_owner; GRANT USAGE ON SCHEMA shared TO strata_starter`);
  await updateSharedTables(owner, shared, before);
  return database.addTenant(model);
}

const update = (tenant: TestTenant, release = thisRelease) =>
  tenant.isolationModel === 'shared'
    ? updateSharedTables(owner, shared, release)
    : updateTenantSchema(owner, tenant, release);

async function insert(client: pg.Client, table: string, row: Record<string, unknown>): Promise<void> {
  const names = Object.keys(row);
  await client.query(
    `INSERT INTO ${table} (${names.join(', ')}) VALUES (${names.map((_, n) => `$${n + 1}`).join(', ')})`,
    Object.values(row),
  );
}

const at = (second: number) => `2026-01-01T00:00:0${second}Z`;

describe.each(['shared', 'schema'] as const)('in tables of the %s model', (model) => {
  let tenant: TestTenant;
  let client: pg.Client;
  const employee = randomUUID();
  const assessment = randomUUID();
  const enter = async (added: TestTenant) => {
    tenant = added;
    client = await database.connect(tenant.login);
    await asTenant(client, tenant, 'write', async () => {
      await insert(client, 'employees', {
        employee_id: employee,
        email: 'a@rules.test',
        first_name: 'A',
        last_name: 'B',
      });
      await insert(client, 'assessments', { assessment_id: assessment, assessment_name: 'A' });
    });
  };
  beforeAll(async () => enter(await database.addTenant(model)));

  const open = { assessment_id: assessment, employee_id: employee };
  test.each<[string, string, Record<string, unknown>[], string]>([
    ['a second open result', 'assessment_results', [open, open], '23505'],
    ['a completed result without its time', 'assessment_results', [{ status: 'completed' }], '23514'],
    ['an open result with a time of completion', 'assessment_results', [{ completed_at: at(1) }], '23514'],
    ['a score above 100', 'assessment_results', [{ score: 100.01 }], '23514'],
    ['a score below 0', 'assessment_results', [{ score: -0.01 }], '23514'],
    [
      'a published assessment without questions',
      'assessments',
      [{ assessment_name: 'A', status: 'published' }],
      '23514',
    ],
    [
      'an expiry before the issue',
      'certifications',
      [{ certification_name: 'C', issue_date: '2026-01-02', expiry_date: '2026-01-01' }],
      '23514',
    ],
    [
      'a second framework of a version',
      'skills_frameworks',
      [
        { framework_name: 'F', version: '1' },
        { framework_name: 'F', version: '1' },
      ],
      '23505',
    ],
    [
      'a second framework without a version',
      'skills_frameworks',
      [{ framework_name: 'F' }, { framework_name: 'F' }],
      '23505',
    ],
  ])('%s is refused', async (_what, table, rows, code) => {
    const inserting = asTenant(client, tenant, 'write', async () => {
      for (const row of rows) await insert(client, table, row);
    });
    await expect(inserting).rejects.toMatchObject({ code });
  });

  test('what the rules allow is allowed', async () => {
    await asTenant(client, tenant, 'write', async () => {
      for (const status of ['completed', 'completed', 'abandoned', 'abandoned', 'in_progress'])
        await insert(client, 'assessment_results', {
          ...open,
          status,
          completed_at: status === 'completed' ? at(1) : null,
          score: status === 'completed' ? 100 : null,
        });
      for (const version of [null, '1', '2'])
        await insert(client, 'skills_frameworks', { framework_name: 'G', version });
      await client.query('DELETE FROM assessment_results');
    });
  });

  test('older rows that break the rules are repaired by the version that brings them, and nothing else changes', async () => {
    await enter(await addOlder(model));
    const ids = Array.from({ length: 4 }, randomUUID);
    const framework = { framework_name: 'Twice', version: 'a version with many characters, fifty at most' };
    await asTenant(client, tenant, 'write', async () => {
      for (const [n, result_id] of ids.entries())
        await insert(client, 'assessment_results', { ...open, result_id, created_at: at(n) });
      await insert(client, 'assessment_results', { status: 'completed', score: 250, created_at: at(5) });
      await insert(client, 'assessment_results', { status: 'abandoned', completed_at: at(1), score: -3 });
      for (const created_at of [at(2), at(1), at(3)])
        await insert(client, 'skills_frameworks', { ...framework, created_at });
      for (const created_at of [at(2), at(1)])
        await insert(client, 'skills_frameworks', { framework_name: 'Plain', created_at });
      await insert(client, 'assessments', {
        assessment_name: 'Old',
        status: 'archived',
        scoring_config: '{"method":"sum"}',
      });
      await insert(client, 'certifications', {
        certification_name: 'C',
        issue_date: '2026-01-02',
        expiry_date: '2026-01-01',
      });
      await insert(client, 'certifications', {
        certification_name: 'D',
        issue_date: '2026-01-01',
        expiry_date: '2026-01-02',
      });
    });
    // The code of the version before survives the rules' absence, and the rollout does not wedge.
    expect(await update(tenant, before)).toBe(RULES_SINCE - 1);
    expect(await update(tenant)).toBe(thisRelease.schemaVersion);
    await asTenant(client, tenant, 'read', async () => {
      const rows = async (text: string) => (await client.query(text)).rows;
      expect(
        await rows(
          'SELECT result_id, status FROM assessment_results WHERE employee_id IS NOT NULL ORDER BY created_at',
        ),
      ).toEqual(ids.map((result_id, n) => ({ result_id, status: n === 3 ? 'in_progress' : 'abandoned' })));
      expect(
        await rows(`SELECT status, score::float AS score, completed_at = created_at AS as_created
          FROM assessment_results WHERE employee_id IS NULL ORDER BY status DESC`),
      ).toEqual([
        { status: 'completed', score: 100, as_created: true },
        { status: 'abandoned', score: 0, as_created: null },
      ]);
      const [first, second, third] = await rows(
        `SELECT version, replace(framework_id::text, '-', '') AS id FROM skills_frameworks
         WHERE framework_name = 'Twice' ORDER BY created_at`,
      );
      expect(first.version).toBe(framework.version);
      expect(second.version).toBe(`a version with man${second.id}`);
      expect(third.version).toBe(`a version with man${third.id}`);
      const [plain, other] = await rows(
        `SELECT version, replace(framework_id::text, '-', '') AS id FROM skills_frameworks
         WHERE framework_name = 'Plain' ORDER BY created_at`,
      );
      expect([plain.version, other.version]).toEqual([null, other.id]);
      expect(
        await rows(`SELECT questions, scoring_config FROM assessments WHERE assessment_name = 'Old'`),
      ).toEqual([{ questions: [], scoring_config: { method: 'sum' } }]);
      expect(
        await rows(`SELECT certification_name AS name, issue_date::text AS issued, expiry_date::text AS expires
          FROM certifications ORDER BY 1`),
      ).toEqual([
        { name: 'C', issued: '2026-01-01', expires: '2026-01-02' },
        { name: 'D', issued: '2026-01-01', expires: '2026-01-02' },
      ]);
    });
    const { rows: invalid } = await superuser.query(
      `SELECT indexrelid::regclass::text AS name FROM pg_index JOIN pg_class c ON c.oid = indexrelid
       WHERE relnamespace = $1::regnamespace AND NOT indisvalid`,
      [tenant.schemaName],
    );
    expect(invalid).toEqual([]);
    // And the rules hold.
    const second = asTenant(client, tenant, 'write', () => insert(client, 'assessment_results', open));
    await expect(second).rejects.toMatchObject({ code: '23505' });
  });

  test('rows that break no rule have their unique indexes built beside writers, before the migration', async () => {
    await enter(await addOlder(model));
    const { buildNewIndexes } = await import('../../functions/database/tables/build-new-indexes.ts');
    const target = {
      model: model === 'shared' ? ('shared' as const) : ('isolated' as const),
      schema: tenant.schemaName,
      requestRole: tenant.roleName,
    };
    await buildNewIndexes(owner, target, thisRelease.tables, RULES_SINCE - 1);
    const built = async () =>
      (
        await superuser.query(
          `SELECT c.oid, c.relname AS name FROM pg_index JOIN pg_class c ON c.oid = indexrelid
           WHERE relnamespace = $1::regnamespace AND indisunique AND indpred IS NOT NULL AND indisvalid
             AND relkind = 'i' ORDER BY 2`,
          [tenant.schemaName],
        )
      ).rows;
    const early = await built();
    expect(early).toHaveLength(model === 'shared' ? 2 + 4 : 3);
    expect(await update(tenant)).toBe(thisRelease.schemaVersion);
    // The migration has taken them, and made no others.
    expect(await built()).toEqual(early);
  });
});
