import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { refreshSkillsSummary } from '../../functions/database/tables/refresh-skills-summary.ts';
import { TENANT_SCHEMA_VERSION } from '../../functions/database/tables/schema-version.ts';
import {
  DEFAULT_LEVELS as LEVELS_OF_SUMMARY,
  SKILLS_SUMMARY_SINCE,
} from '../../functions/database/tables/skills-summary.ts';
import { DEFAULT_LEVELS } from '../../functions/tenant-data/proficiency-levels.ts';
import type { Model } from '../isolation/tenant-world.ts';
import { MODELS, TenantRequests } from './tenant-requests.ts';

let requests: TenantRequests;
beforeAll(async () => {
  requests = await TenantRequests.start();
});
afterAll(() => requests?.world.end());

const ROUTE = 'GET /analytics/skills-summary';
const EMPTY = { items: [], nextCursor: null, refreshedAt: null };

const read = (model: Model, query: Record<string, string> = {}) => requests.call(model, ROUTE, { query });

async function refresh(model: Model): Promise<void> {
  const { database, schemaName } = requests.tenant(model);
  const owner = await database.connect('owner');
  await refreshSkillsSummary(owner, schemaName, { always: true });
  await owner.end();
}

/** A skill that so many employees have, at the levels given. */
async function addSkill(model: Model, fields: object, levels: readonly (string | null)[]): Promise<string> {
  const { body } = await requests.call(model, 'POST /skills', { body: fields });
  for (const proficiencyLevel of levels) {
    const employeeId = await requests.addEmployee(model);
    const answer = await requests.call(model, 'POST /employees/{employeeId}/skills', {
      pathParameters: { employeeId },
      body: { skillId: body.skillId, proficiencyLevel, verified: proficiencyLevel === 'expert' },
    });
    expect(answer.status).toBe(201);
  }
  return body.skillId;
}

describe.each(MODELS)('the skills summary of a %s tenant', (model) => {
  let sql: string;
  let rust: string;

  test('is empty before the first refresh', async () => {
    expect(await read(model)).toMatchObject({ status: 200, body: EMPTY });
    sql = await addSkill(model, { skillName: 'SQL', skillCategory: 'Data' }, ['beginner', 'expert', null]);
    rust = await addSkill(
      model,
      { skillName: 'Rust', skillCategory: 'Languages', proficiencyLevels: ['expert', 'beginner'] },
      ['expert'],
    );
    await requests.call(model, 'POST /skills', { body: { skillName: 'Nobody’s' } });
    expect((await read(model)).body).toEqual(EMPTY);
  });

  test('tells how many employees have each skill and how well, and when that was computed', async () => {
    const before = new Date().toISOString();
    await refresh(model);
    const { status, body } = await read(model);
    expect(status).toBe(200);
    expect(body).toEqual({
      items: [
        {
          skillId: sql,
          skillName: 'SQL',
          skillCategory: 'Data',
          employeeCount: 3,
          ratedCount: 2,
          verifiedCount: 1,
          averageProficiency: 2.5,
          levelCount: 4,
        },
        {
          skillId: rust,
          skillName: 'Rust',
          skillCategory: 'Languages',
          employeeCount: 1,
          ratedCount: 1,
          verifiedCount: 1,
          averageProficiency: 1,
          levelCount: 2,
        },
      ],
      nextCursor: null,
      refreshedAt: expect.stringMatching(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,6})?Z$/),
    });
    expect(Math.abs(Date.parse(body.refreshedAt) - Date.parse(before))).toBeLessThan(60_000);
  });

  test('names a skill as it is now, and leaves out one that is gone', async () => {
    await requests.call(model, 'PATCH /skills/{skillId}', {
      pathParameters: { skillId: rust },
      body: { skillName: 'Rust 2024', skillCategory: null },
    });
    expect((await read(model, { skillId: rust })).body.items).toMatchObject([
      { skillName: 'Rust 2024', skillCategory: null, employeeCount: 1 },
    ]);
  });

  test('is narrowed by filters and read page by page', async () => {
    const names = async (query: Record<string, string>) =>
      (await read(model, query)).body.items.map(({ skillName }: { skillName: string }) => skillName);
    expect(await names({ skillCategory: 'Data' })).toEqual(['SQL']);
    expect(await names({ minEmployees: '2' })).toEqual(['SQL']);
    expect(await names({ q: 'rust' })).toEqual(['Rust 2024']);
    expect(await names({ q: '%' })).toEqual([]);
    expect(await names({ frameworkId: sql })).toEqual([]);
    const first = (await read(model, { limit: '1' })).body;
    expect(first).toMatchObject({ items: [{ skillId: sql }], nextCursor: expect.any(String) });
    const second = (await read(model, { limit: '1', cursor: first.nextCursor })).body;
    expect(second).toMatchObject({
      items: [{ skillId: rust }],
      nextCursor: null,
      refreshedAt: first.refreshedAt,
    });
  });

  test('is sorted by counts and averages, in both directions, across pages', async () => {
    await addSkill(model, { skillName: 'Ada', proficiencyLevels: ['basic', 'good'] }, []);
    const unrated = await addSkill(model, { skillName: 'Basic', proficiencyLevels: ['own'] }, [null]);
    await refresh(model);
    const pages = async (sort: string) => {
      const names: string[] = [];
      let cursor: string | null = null;
      do {
        const query: Record<string, string> = { sort, limit: '1', ...(cursor ? { cursor } : {}) };
        const { body } = await read(model, query);
        names.push(...body.items.map(({ skillName }: { skillName: string }) => skillName));
        cursor = body.nextCursor;
      } while (cursor);
      return names.map((name) => name.split(' ')[0]).join(' ');
    };
    expect(await pages('-employeeCount')).toMatch(/^SQL (Rust Basic|Basic Rust)$/);
    expect(await pages('skillName')).toBe('Basic Rust SQL');
    expect(await pages('-skillName')).toBe('SQL Rust Basic');
    // Nobody is rated: last in ascending order, first in descending order.
    expect(await pages('averageProficiency')).toBe('Rust SQL Basic');
    expect(await pages('-averageProficiency')).toBe('Basic SQL Rust');
    const { body } = await read(model, { sort: 'skillName', limit: '1' });
    expect(body.items).toMatchObject([{ skillId: unrated, averageProficiency: null, ratedCount: 0 }]);
    expect(await read(model, { sort: 'employeeCount', cursor: body.nextCursor })).toMatchObject({
      status: 400,
    });
    expect(await read(model, { sort: 'levelCount' })).toMatchObject({ status: 400 });
  });

  test.each([
    { cursor: 'x' },
    { limit: '201' },
    { minEmployees: '0' },
    { minEmployees: '1e3' },
    { skillId: 'x' },
    { skillCategory: '' },
    { q: 'a\0' },
    { other: '1' },
  ])('is refused with %j', async (query) => {
    expect(await read(model, query as Record<string, string>)).toMatchObject({ status: 400 });
  });
});

test('the default levels are those of the other resources', () => {
  expect(LEVELS_OF_SUMMARY).toEqual(DEFAULT_LEVELS);
});

test('tables of a version before the summary have an empty one', async () => {
  const { world } = requests;
  await world.registry.query('UPDATE cells SET schema_version = :version::integer', {
    version: SKILLS_SUMMARY_SINCE - 1,
  });
  await world.registry.query('UPDATE tenant_database_routing SET schema_version = :version::integer', {
    version: SKILLS_SUMMARY_SINCE - 1,
  });
  const { directory } = world.container();
  for (const model of MODELS) {
    const { tenantId } = requests.tenant(model);
    expect((await directory.byId(tenantId))?.placement?.schemaVersion).toBe(SKILLS_SUMMARY_SINCE - 1);
  }
  const lagging = requests.restarted();
  for (const model of MODELS)
    expect(await lagging.call(model, ROUTE)).toMatchObject({ status: 200, body: EMPTY });
  expect(TENANT_SCHEMA_VERSION).toBeGreaterThanOrEqual(SKILLS_SUMMARY_SINCE);
});

test('where the database lacks the summary that the registry says it has, the answer is 503 and not an empty list', async () => {
  const { world } = requests;
  const version = TENANT_SCHEMA_VERSION;
  await world.registry.query('UPDATE tenant_database_routing SET schema_version = :version::integer', {
    version,
  });
  const { database, schemaName } = requests.tenant('schema');
  const owner = await database.connect('owner');
  await owner.query(`DROP VIEW ${schemaName}.skills_summary`);
  await owner.end();
  expect(await requests.restarted().call('schema', ROUTE)).toMatchObject({
    status: 503,
    body: { type: 'urn:strata:problem:schema-upgrading' },
  });
});
