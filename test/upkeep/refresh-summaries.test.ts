import { afterAll, beforeAll, expect, test } from 'vitest';
import { addFigures } from '../../functions/upkeep/figures.ts';
import {
  NO_SUMMARIES,
  type RefreshSummariesOptions,
  refreshSummaries,
} from '../../functions/upkeep/refresh-summaries.ts';
import { TestDatabase, type TestTenant } from '../test-database.ts';

let database: TestDatabase;
const tenants: TestTenant[] = [];
const id = (digit: number) => `${String(digit).repeat(8)}-0000-4000-8000-000000000000`;

beforeAll(async () => {
  database = await TestDatabase.clone();
  await database.addTenant('shared');
  for (const digit of [1, 2, 3]) tenants.push(await database.addTenant('schema', id(digit)));
});
afterAll(() => database.drop());

async function refresh(options: Partial<RefreshSummariesOptions> = {}) {
  const owner = await database.connect('owner');
  try {
    return await refreshSummaries(owner, {
      always: true,
      deadline: performance.now() + 60_000,
      onFailure: ({ error }) => {
        throw error;
      },
      ...options,
    });
  } finally {
    await owner.end();
  }
}

async function times(): Promise<number> {
  const superuser = await database.connect('superuser');
  const tables = ['tenancy.shared_', ...tenants.map(({ schemaName }) => `${schemaName}.`)];
  const { rows } = await superuser.query(
    tables.map((table) => `SELECT refreshed_at FROM ${table}skills_summary_refresh`).join(' UNION ALL '),
  );
  await superuser.end();
  return rows.length;
}

test('a call that runs out of time is gone on with: every summary is refreshed once', async () => {
  let figures = NO_SUMMARIES;
  let after: string | undefined;
  let calls = 0;
  for (let isDone = false; !isDone; calls++) {
    // Time for one more.
    let looks = 0;
    const deadline = { [Symbol.toPrimitive]: () => (looks++ < 1 ? Infinity : 0) } as unknown as number;
    const step = await refresh({ deadline, after });
    figures = addFigures(figures, step.figures);
    [isDone, after] = [step.done, step.after];
  }
  expect(calls).toBe(4);
  expect(figures).toEqual({ ...NO_SUMMARIES, refreshed: 4 });
  expect(await times()).toBe(4);
});

test('a summary that fails, is busy or is not there yet holds up no other', async () => {
  const [broken, busy, lagging] = tenants as [TestTenant, TestTenant, TestTenant];
  const owner = await database.connect('owner');
  // The unique index is what a concurrent refresh needs.
  await owner.query(`DROP INDEX ${broken.schemaName}.tenant_skills_summary_key`);
  await owner.query(`DROP MATERIALIZED VIEW ${lagging.schemaName}.tenant_skills_summary CASCADE`);
  await owner.query(
    `BEGIN; SELECT pg_advisory_xact_lock(hashtextextended('strata ddl ${busy.schemaName}', 0))`,
  );
  const failures: unknown[] = [];
  const { done, figures } = await refresh({
    onFailure: ({ schema, error }) => failures.push([schema, (error as { code: string }).code]),
  });
  await owner.query('ROLLBACK');
  await owner.end();
  expect([done, failures]).toEqual([true, [[broken.schemaName, '55000']]]);
  expect(figures).toEqual({ refreshed: 1, unchanged: 0, busy: 1, absent: 1, failures: 1 });
});

test('a database that is lost ends the call, so that it is repeated', async () => {
  const owner = await database.connect('owner');
  await owner.end();
  await expect(
    refreshSummaries(owner, { always: false, deadline: Infinity, onFailure: () => {} }),
  ).rejects.toThrow(/closed/);
});
