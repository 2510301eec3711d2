import type pg from 'pg';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { ddlTransaction, runStatements } from '../../functions/database/ddl/ddl-connection.ts';
import { isolatedTarget, sharedTarget } from '../../functions/database/tables/migrate-tenant-tables.ts';
import {
  type RefreshOutcome,
  refreshSkillsSummary,
} from '../../functions/database/tables/refresh-skills-summary.ts';
import { createSkillsSummary } from '../../functions/database/tables/skills-summary.ts';
import { asTenant, enterTenant, until } from '../enter-tenant.ts';
import { TestDatabase, type TestTenant } from '../test-database.ts';

let database: TestDatabase;
let superuser: pg.Client;
let owner: pg.Client;

beforeAll(async () => {
  database = await TestDatabase.clone();
  superuser = await database.connect('superuser');
  owner = await database.connect('owner');
});
afterAll(() => database.drop());

interface Skill {
  readonly name: string;
  readonly levels?: unknown;
  /** The level of each employee who has it. */
  readonly held: readonly (string | null)[];
}

/** Adds skills, and an employee for each level of each of them. */
async function addSkills(tenant: TestTenant, ...skills: readonly Skill[]): Promise<void> {
  const client = await database.connect(tenant.login);
  await asTenant(client, tenant, 'write', async () => {
    for (const { name, levels, held } of skills) {
      await client.query(
        `WITH skill AS (INSERT INTO skills (skill_name, proficiency_levels) VALUES ($1, $2::jsonb) RETURNING skill_id),
              held AS (SELECT gen_random_uuid() AS employee_id, level, n FROM unnest($3::text[]) WITH ORDINALITY AS h (level, n)),
              hired AS (INSERT INTO employees (employee_id, email, first_name, last_name)
                        SELECT employee_id, employee_id || '@test', 'Ada', 'L' FROM held RETURNING employee_id)
         INSERT INTO employee_skills (employee_id, skill_id, proficiency_level, verified)
         SELECT employee_id, skill_id, level, n = 1 FROM hired JOIN held USING (employee_id), skill`,
        [name, levels === undefined ? null : JSON.stringify(levels), held],
      );
    }
  });
  await client.end();
}

type Summary = Record<string, readonly [employees: number, rated: number, average: number | null]>;

/** What a request of the tenant reads: employees, rated ones and average by skill; undefined before the first refresh. */
async function summaryOf(tenant: TestTenant): Promise<Summary | undefined> {
  const client = await database.connect(tenant.login);
  const summary = await asTenant(client, tenant, 'read', async () => {
    const { rows } = await client.query(
      `SELECT skill_name AS name, employee_count AS employees, rated_count AS rated, avg_proficiency::float8 AS average
       FROM skills_summary JOIN skills USING (skill_id) ORDER BY skill_name`,
    );
    const { rowCount } = await client.query('SELECT refreshed_at FROM skills_summary_refresh');
    if (rowCount === 0 && rows.length > 0) throw new Error('there are rows before the first refresh');
    return rowCount === 0
      ? undefined
      : Object.fromEntries(
          rows.map(({ name, employees, rated, average }) => [name, [employees, rated, average]]),
        );
  });
  await client.end();
  return summary;
}

const refresh = (tenant: TestTenant, always = true): Promise<RefreshOutcome> =>
  refreshSkillsSummary(owner, tenant.schemaName, { always });

describe.each(['shared', 'schema', 'dedicated'] as const)('the summary of a %s tenant', (model) => {
  let tenant: TestTenant;
  beforeAll(async () => {
    tenant = await database.addTenant(model);
  });

  test('is empty and never refreshed at first', async () => {
    expect(await summaryOf(tenant)).toBeUndefined();
  });

  test('is empty after a refresh where nobody has a skill', async () => {
    expect(await refresh(tenant)).toBe('refreshed');
    expect(await summaryOf(tenant)).toEqual({});
  });

  test('counts a level by its position; unknown levels count as employees only', async () => {
    await addSkills(
      tenant,
      { name: 'defaults', held: ['beginner', 'intermediate', 'advanced', 'expert', 'expert'] },
      { name: 'empty list', levels: [], held: ['advanced'] },
      { name: 'no list', levels: { a: 1 }, held: ['intermediate'] },
      {
        name: 'own levels',
        levels: ['novice', 'pro', 'novice'],
        held: ['pro', 'novice', 'novice', 'expert', null],
      },
      { name: 'unknown only', levels: ['novice'], held: ['expert', null] },
      { name: 'nobody', held: [] },
    );
    expect(await summaryOf(tenant)).toEqual({});
    await refresh(tenant);
    expect(await summaryOf(tenant)).toEqual({
      defaults: [5, 5, 2.8],
      'empty list': [1, 1, 3],
      'no list': [1, 1, 2],
      'own levels': [5, 3, 1.33],
      'unknown only': [2, 0, null],
    });
    const client = await database.connect(tenant.login);
    const { rows } = await asTenant(client, tenant, 'read', () =>
      client.query(
        `SELECT skill_name, verified_count, level_count FROM skills_summary JOIN skills USING (skill_id)
         WHERE skill_name IN ('defaults', 'own levels') ORDER BY 1`,
      ),
    );
    expect(rows).toEqual([
      { skill_name: 'defaults', verified_count: 1, level_count: 4 },
      { skill_name: 'own levels', verified_count: 1, level_count: 3 },
    ]);
    await client.end();
  });

  test('is recomputed only where something was written, and its time moves on in any case', async () => {
    const time = async () => {
      const client = await database.connect(tenant.login);
      const { rows } = await asTenant(client, tenant, 'read', () =>
        client.query('SELECT refreshed_at::text AS time FROM skills_summary_refresh'),
      );
      await client.end();
      return rows[0].time as string;
    };
    const before = await summaryOf(tenant);
    const first = await time();
    // It may not have reported yet what it has written, so the refresh is a real one.
    const lately = await database.connect(tenant.login);
    await lately.query('SELECT 1');
    expect(await refresh(tenant, false)).toBe('refreshed');
    expect((await time()) > first).toBe(true);
    await endSessionsBut(owner);
    await refresh(tenant, false);
    const second = await timeAtRest(tenant);
    expect(await refresh(tenant, false)).toBe('unchanged');
    expect((await timeAtRest(tenant)) > second).toBe(true);
    await addSkills(tenant, { name: 'later', held: ['expert'] });
    await endSessionsBut(owner);
    expect(await refresh(tenant, false)).toBe('refreshed');
    expect(await summaryOf(tenant)).toEqual({ ...before, later: [1, 1, 4] });
  });
});

describe('its migration', () => {
  test('gives existing tables an empty summary, without reading their rows', async () => {
    const [starter, business] = [await database.addTenant('shared'), await database.addTenant('schema')];
    for (const tenant of [starter, business]) {
      await addSkills(tenant, { name: 'there before', held: ['expert'] });
      await refresh(tenant);
    }
    const own = business.schemaName;
    await owner.query(`DROP MATERIALIZED VIEW ${own}.tenant_skills_summary CASCADE;
      DROP TABLE ${own}.skills_summary_refresh`);
    for (const target of [sharedTarget(starter.roleName), isolatedTarget(own, business.roleName)])
      await ddlTransaction(owner, (transaction) => runStatements(transaction, createSkillsSummary(target)));
    for (const tenant of [starter, business]) {
      expect(await summaryOf(tenant)).toBeUndefined();
      const { rows } = await superuser.query(
        `SELECT count(*)::int AS rows FROM ${tenant.schemaName}.tenant_skills_summary`,
      );
      expect(rows).toEqual([{ rows: 0 }]);
      expect(await refresh(tenant, false)).toBe('refreshed');
      expect(await summaryOf(tenant)).toEqual({ 'there before': [1, 1, 4] });
    }
  });
});

/** What has written has reported it when its session has ended. */
async function endSessionsBut(kept: pg.Client): Promise<void> {
  const { processID } = kept as unknown as { processID: number };
  const others = `FROM pg_stat_activity WHERE datname = current_database() AND backend_type = 'client backend'
    AND usename LIKE ANY (ARRAY['strata_starter', 'strata_owner', 'tenant%']) AND pid <> $1`;
  await superuser.query(`SELECT pg_terminate_backend(pid, 5000) ${others}`, [processID]);
  await until(async () => (await superuser.query(`SELECT ${others}`, [processID])).rowCount === 0);
}

/** Read from outside, because a session of the tenant would be one that may have written. */
async function timeAtRest({ schemaName }: TestTenant): Promise<string> {
  const table =
    schemaName === 'shared'
      ? 'tenancy.shared_skills_summary_refresh'
      : `${schemaName}.skills_summary_refresh`;
  const { rows } = await superuser.query(`SELECT refreshed_at::text AS time FROM ${table}`);
  return rows[0].time;
}

describe('in the shared tables', () => {
  test('a refresh reads all tenants, also inside a transaction that has entered one of them', async () => {
    const [one, other] = [await database.addTenant('shared'), await database.addTenant('shared')];
    for (const tenant of [one, other]) await addSkills(tenant, { name: 'both', held: ['expert'] });
    await owner.query('BEGIN');
    await owner.query('SELECT tenancy.enter_move($1, null)', [one.tenantId]);
    await owner.query('REFRESH MATERIALIZED VIEW CONCURRENTLY shared.tenant_skills_summary');
    await owner.query('COMMIT');
    expect(await summaryOf(one)).toEqual({ both: [1, 1, 4] });
    expect(await summaryOf(other)).toEqual({ both: [1, 1, 4] });
    const { rows } = await superuser.query(
      `SELECT relname FROM pg_class WHERE relnamespace = 'shared'::regnamespace AND relkind IN ('r', 'p')
       AND NOT (relrowsecurity AND relforcerowsecurity)`,
    );
    expect(rows).toEqual([]);
  });

  test('a tenant that arrived, came back or was restored since has no summary until the next refresh', async () => {
    const tenant = await database.addTenant('shared');
    await addSkills(tenant, { name: 'mine', held: ['expert'] });
    await refresh(tenant);
    expect(await summaryOf(tenant)).toEqual({ mine: [1, 1, 4] });
    await owner.query('UPDATE tenancy.placement SET epoch = 3 WHERE tenant_id = $1', [tenant.tenantId]);
    const back = { ...tenant, epoch: 3 };
    expect(await summaryOf(back)).toBeUndefined();
    await refresh(back);
    expect(await summaryOf(back)).toEqual({ mine: [1, 1, 4] });
    // And nothing is left of a tenant that has gone.
    await owner.query(`UPDATE tenancy.placement SET state = 'moved', forward = '{}' WHERE tenant_id = $1`, [
      tenant.tenantId,
    ]);
    await refresh(back);
    const { rowCount } = await superuser.query(
      'SELECT FROM shared.tenant_skills_summary WHERE tenant_id = $1',
      [tenant.tenantId],
    );
    expect(rowCount).toBe(0);
  });

  test('names and rights of a cell’s and of a tenant’s own summary', async () => {
    const tenant = await database.addTenant('schema');
    const { rows } = await superuser.query(
      `SELECT relname, relkind, pg_get_userbyid(relowner) AS owner, relacl::text AS acl, reloptions
       FROM pg_class WHERE relnamespace IN ('shared'::regnamespace, $1::regnamespace)
         AND relname LIKE '%skills_summary%' AND relkind IN ('m', 'v', 'r') ORDER BY relnamespace = 'shared'::regnamespace, 1`,
      [tenant.schemaName],
    );
    const barrier = ['security_barrier=true'];
    const own = tenant.roleName;
    expect(rows).toEqual([
      {
        relname: 'skills_summary',
        relkind: 'v',
        owner: 'strata_owner',
        acl: `{strata_owner=arwdDxtm/strata_owner,${own}=r/strata_owner}`,
        reloptions: barrier,
      },
      { relname: 'skills_summary_refresh', relkind: 'r', owner: 'strata_owner', acl: null, reloptions: null },
      { relname: 'tenant_skills_summary', relkind: 'm', owner: 'strata_owner', acl: null, reloptions: null },
      {
        relname: 'skills_summary',
        relkind: 'v',
        owner: 'strata_analytics',
        acl: '{strata_analytics=arwdDxtm/strata_analytics,strata_starter=r/strata_analytics}',
        reloptions: barrier,
      },
      {
        relname: 'skills_summary_refresh',
        relkind: 'v',
        owner: 'strata_analytics',
        acl: '{strata_analytics=arwdDxtm/strata_analytics,strata_starter=r/strata_analytics}',
        reloptions: barrier,
      },
      {
        relname: 'tenant_skills_summary',
        relkind: 'm',
        owner: 'strata_analytics',
        acl: '{strata_analytics=arwdDxtm/strata_analytics,strata_owner=m/strata_analytics}',
        reloptions: null,
      },
    ]);
    const keys = await superuser.query(
      `SELECT indexdef FROM pg_indexes WHERE schemaname = 'shared' AND indexname = 'tenant_skills_summary_key'`,
    );
    expect(keys.rows[0].indexdef).toMatch(/^CREATE UNIQUE INDEX .*\(tenant_id, skill_id\)$/);
  });
});

describe('a refresh', () => {
  test('waits for no reader or writer, and they do not wait for it', async () => {
    const tenant = await database.addTenant('shared');
    await addSkills(tenant, { name: 'busy', held: ['expert'] });
    const [reader, writer] = [await database.connect(tenant.login), await database.connect(tenant.login)];
    await refresh(tenant);
    await enterTenant(reader, tenant, 'read');
    await reader.query('SELECT FROM skills_summary');
    await enterTenant(writer, tenant, 'write');
    await writer.query(`UPDATE employee_skills SET proficiency_level = 'beginner'`);
    // Both transactions are open: the refresh sees what was committed before.
    expect(await refresh(tenant)).toBe('refreshed');
    expect(await summaryOf(tenant)).toEqual({ busy: [1, 1, 4] });
    await writer.query('COMMIT');
    // And this one writes while a refresh holds its locks.
    await owner.query('BEGIN; REFRESH MATERIALIZED VIEW CONCURRENTLY shared.tenant_skills_summary');
    await asTenant(writer, tenant, 'write', () =>
      writer.query(`UPDATE employee_skills SET proficiency_level = 'advanced'`),
    );
    expect(await summaryOf(tenant)).toEqual({ busy: [1, 1, 4] });
    await owner.query('COMMIT');
    expect(await summaryOf(tenant)).toEqual({ busy: [1, 1, 1] });
    await reader.query('COMMIT');
    await Promise.all([reader.end(), writer.end()]);
  });

  test('killed half-way leaves the summary and its time as they were, and succeeds when repeated', async () => {
    const tenant = await database.addTenant('schema');
    await addSkills(tenant, { name: 'old', held: ['expert'] });
    await refresh(tenant);
    const time = await timeAtRest(tenant);
    await addSkills(tenant, { name: 'new', held: ['expert'] });
    for (let count = 1; ; count++) {
      const client = await database.connect('owner');
      const { processID } = client as unknown as { processID: number };
      const send = client.query.bind(client) as (...values: unknown[]) => Promise<unknown>;
      let sent = 0;
      client.query = (async (...values: unknown[]) => {
        if (++sent === count) await superuser.query('SELECT pg_terminate_backend($1, 5000)', [processID]);
        return send(...values);
      }) as never;
      const outcome = await refreshSkillsSummary(client, tenant.schemaName, { always: true }).catch(
        () => 'killed',
      );
      if (outcome === 'refreshed') break;
      expect(outcome, `statement ${count}`).toBe('killed');
      expect([await summaryOf(tenant), await timeAtRest(tenant)]).toEqual([{ old: [1, 1, 4] }, time]);
    }
    expect(await summaryOf(tenant)).toEqual({ new: [1, 1, 4], old: [1, 1, 4] });
  });

  test('gives way to DDL on the tables and to another refresh, and ends at its time limit', async () => {
    const tenant = await database.addTenant('schema');
    const other = await database.connect('owner');
    await other.query(
      `BEGIN; SELECT pg_advisory_xact_lock(hashtextextended('strata ddl ${tenant.schemaName}', 0))`,
    );
    expect(await refresh(tenant)).toBe('busy');
    await other.query('ROLLBACK');
    await refresh(tenant);
    await other.query(
      `BEGIN; REFRESH MATERIALIZED VIEW CONCURRENTLY ${tenant.schemaName}.tenant_skills_summary`,
    );
    expect(await refreshSkillsSummary(owner, tenant.schemaName, { always: true, lockTimeoutMs: 50 })).toBe(
      'busy',
    );
    await expect(
      refreshSkillsSummary(owner, tenant.schemaName, { always: true, lockTimeoutMs: 60_000, seconds: 1 }),
    ).rejects.toMatchObject({ code: '57014' });
    await other.query('ROLLBACK');
    expect(await refresh(tenant)).toBe('refreshed');
    await other.end();
  });

  test('of tables without a summary, or that are gone, does nothing', async () => {
    expect(await refreshSkillsSummary(owner, 'tenant_none')).toBe('absent');
    const tenant = await database.addTenant('schema');
    await owner.query(`DROP MATERIALIZED VIEW ${tenant.schemaName}.tenant_skills_summary CASCADE`);
    expect(await refresh(tenant)).toBe('absent');
  });
});
