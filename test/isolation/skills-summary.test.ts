/** What injected SQL, a leaked credential or a mistake of the owner's code could try with the summaries. */
import type pg from 'pg';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { refreshSkillsSummary } from '../../functions/database/tables/refresh-skills-summary.ts';
import { asTenant, enterTenant } from '../enter-tenant.ts';
import { TestDatabase, type TestTenant } from '../test-database.ts';

let database: TestDatabase;
let owner: pg.Client;
let superuser: pg.Client;
let attacker: TestTenant;
let victim: TestTenant;
let business: TestTenant;
let session: pg.Client;

const DENIED = { code: '42501' };
const SECRET = 'a skill of the victim';

beforeAll(async () => {
  database = await TestDatabase.clone();
  owner = await database.connect('owner');
  superuser = await database.connect('superuser');
  [attacker, victim] = [await database.addTenant('shared'), await database.addTenant('shared')];
  business = await database.addTenant('schema');
  for (const tenant of [victim, business]) {
    const client = await database.connect(tenant.login);
    await asTenant(client, tenant, 'write', () =>
      client.query(
        `WITH skill AS (INSERT INTO skills (skill_name) VALUES ($1) RETURNING skill_id),
              employee AS (INSERT INTO employees (email, first_name, last_name) VALUES ('v@test', 'V', 'V') RETURNING employee_id)
         INSERT INTO employee_skills (employee_id, skill_id, proficiency_level)
         SELECT employee_id, skill_id, 'expert' FROM employee, skill`,
        [SECRET],
      ),
    );
    await client.end();
  }
  for (const schema of ['shared', business.schemaName])
    await refreshSkillsSummary(owner, schema, { always: true });
  session = await database.connect(attacker.login);
});
afterAll(() => database.drop());

/** Runs the statement as a request of the tenant would. */
const as = (tenant: TestTenant, client: pg.Client, statement: string) =>
  asTenant(client, tenant, 'read', () => client.query(statement));

describe('a Starter role', () => {
  test('reads through the view what its tenant has, and the victim sees its own', async () => {
    expect((await as(victim, session, 'SELECT FROM skills_summary')).rowCount).toBe(1);
    expect((await as(attacker, session, 'SELECT FROM skills_summary')).rowCount).toBe(0);
  });

  test('has no right on the materialized view, nor on the time of the refresh, nor on placements', async () => {
    for (const relation of [
      'shared.tenant_skills_summary',
      'tenancy.shared_skills_summary_refresh',
      'tenancy.placement',
    ]) {
      await expect(as(attacker, session, `SELECT FROM ${relation}`)).rejects.toMatchObject(DENIED);
    }
    for (const statement of [
      'REFRESH MATERIALIZED VIEW shared.tenant_skills_summary',
      'ALTER MATERIALIZED VIEW shared.tenant_skills_summary OWNER TO strata_starter',
      'DROP VIEW shared.skills_summary',
      'CREATE OR REPLACE VIEW shared.skills_summary AS SELECT 1',
      'ALTER VIEW shared.skills_summary SET (security_barrier = false)',
      'DELETE FROM skills_summary',
      'DROP POLICY analytics_policy ON shared.employee_skills',
    ]) {
      await expect(session.query(statement), statement).rejects.toMatchObject({
        code: expect.stringMatching(/^(42501|42P01|55000)$/),
      });
    }
  });

  test('reads nothing before it has entered a tenant, or with a forged one', async () => {
    await expect(session.query('SELECT * FROM shared.skills_summary')).rejects.toMatchObject({
      code: 'TN004',
    });
    await expect(session.query('SELECT * FROM shared.skills_summary_refresh')).rejects.toMatchObject({
      code: 'TN004',
    });
    await session.query(`BEGIN; SELECT set_config('app.current_tenant', '${victim.tenantId}', true)`);
    await expect(session.query('SELECT * FROM shared.skills_summary')).rejects.toMatchObject({
      code: '34000',
    });
    await session.query('ROLLBACK');
    const forged = `SELECT s.* FROM skills_summary s, (SELECT set_config('app.current_tenant', '${victim.tenantId}', true)) f`;
    expect((await as(attacker, session, forged)).rowCount).toBe(0);
  });

  test('learns nothing from conditions that fail on rows of others', async () => {
    // The barrier promises it whatever the conditions cost; the catalogue's test sees that it is there.
    for (const condition of ['skill_id::text::integer = 1', '1 / (employee_count - 1) = 1']) {
      await expect(as(victim, session, `SELECT FROM skills_summary WHERE ${condition}`)).rejects.toThrow();
      expect((await as(attacker, session, `SELECT FROM skills_summary WHERE ${condition}`)).rowCount).toBe(0);
    }
    const { rowCount } = await as(
      attacker,
      session,
      `SELECT FROM pg_stats WHERE tablename = 'tenant_skills_summary'`,
    );
    expect(rowCount).toBe(0);
  });
});

describe('a Business role', () => {
  test('reads its own summary through the view only, and no other', async () => {
    const client = await database.connect(business.login);
    expect((await as(business, client, 'SELECT FROM skills_summary')).rowCount).toBe(1);
    for (const relation of [
      `${business.schemaName}.tenant_skills_summary`,
      'shared.skills_summary',
      'shared.tenant_skills_summary',
    ])
      await expect(as(business, client, `SELECT FROM ${relation}`)).rejects.toMatchObject(DENIED);
    await expect(
      as(business, client, `SELECT source_state FROM skills_summary_refresh`),
    ).rejects.toMatchObject(DENIED);
    await enterTenant(client, business, 'write');
    await expect(
      client.query(`UPDATE skills_summary_refresh SET refreshed_at = now()`),
    ).rejects.toMatchObject(DENIED);
    await client.query('ROLLBACK');
  });
});

describe('nobody becomes strata_analytics', () => {
  test('it has no login, no attribute and no member but the owner, which does not inherit from it', async () => {
    const { rows } = await superuser.query(
      `SELECT rolcanlogin, rolsuper, rolbypassrls, rolcreaterole, rolcreatedb, rolreplication
       FROM pg_roles WHERE rolname = 'strata_analytics'`,
    );
    expect(rows).toEqual([
      {
        rolcanlogin: false,
        rolsuper: false,
        rolbypassrls: false,
        rolcreaterole: false,
        rolcreatedb: false,
        rolreplication: false,
      },
    ]);
    const members = await superuser.query(
      `SELECT member::regrole::text AS member, inherit_option, set_option, admin_option FROM pg_auth_members
       WHERE roleid = 'strata_analytics'::regrole AND (inherit_option OR set_option) `,
    );
    expect(members.rows).toEqual([
      { member: 'strata_owner', inherit_option: false, set_option: true, admin_option: false },
    ]);
    const memberships = await superuser.query(
      `SELECT FROM pg_auth_members WHERE member = 'strata_analytics'::regrole`,
    );
    expect(memberships.rowCount).toBe(0);
  });

  test('a request role cannot, and the owner cannot make one', async () => {
    for (const tenant of [attacker, business]) {
      const client = await database.connect(tenant.login);
      for (const statement of ['SET ROLE strata_analytics', 'SET SESSION AUTHORIZATION strata_analytics'])
        await expect(client.query(statement)).rejects.toMatchObject(DENIED);
      await expect(client.query(`GRANT strata_analytics TO ${tenant.roleName}`)).rejects.toMatchObject(
        DENIED,
      );
    }
    for (const statement of [
      `GRANT strata_analytics TO ${business.roleName}`,
      'ALTER ROLE strata_analytics LOGIN',
      'ALTER ROLE strata_analytics BYPASSRLS',
    ])
      await expect(owner.query(statement), statement).rejects.toMatchObject(DENIED);
  });

  test('it reads what the summary needs, and nothing else', async () => {
    await superuser.query('BEGIN; SET LOCAL ROLE strata_analytics');
    const allowed =
      'SELECT tenant_id, employee_id, skill_id, proficiency_level, verified FROM shared.employee_skills';
    expect((await superuser.query(allowed)).rowCount).toBe(1);
    for (const [statement, code] of [
      ['SELECT * FROM shared.employee_skills', '42501'],
      ['SELECT skill_name FROM shared.skills', '42501'],
      ['SELECT FROM shared.employees', '42501'],
      ['SELECT role_name FROM tenancy.placement', '42501'],
      [`UPDATE shared.employee_skills SET verified = true`, '42501'],
      [`SELECT tenancy.enter('${victim.tenantId}', 1, 'read')`, '42501'],
      ['CREATE TABLE shared.t ()', '42501'],
      ['CREATE FUNCTION shared.f() RETURNS int RETURN 1', '42501'],
    ] as const) {
      await superuser.query('SAVEPOINT trying');
      await expect(superuser.query(statement), statement).rejects.toMatchObject({ code });
      await superuser.query('ROLLBACK TO SAVEPOINT trying');
    }
    await superuser.query('ROLLBACK');
  });
});

describe('the owner', () => {
  test('refreshes the view and cannot read it, whichever tenant was entered', async () => {
    await expect(owner.query('SELECT FROM shared.tenant_skills_summary')).rejects.toMatchObject(DENIED);
    await expect(owner.query('SELECT FROM shared.skills_summary')).rejects.toMatchObject(DENIED);
    await owner.query('BEGIN');
    await owner.query('SELECT tenancy.enter_move($1, null)', [attacker.tenantId]);
    await expect(owner.query('SELECT FROM shared.tenant_skills_summary')).rejects.toMatchObject(DENIED);
    await owner.query('ROLLBACK');
  });

  test('still sees no row of a shared table without entering a tenant, and one tenant’s after', async () => {
    await expect(owner.query('SELECT FROM shared.employee_skills')).rejects.toMatchObject({ code: 'TN004' });
    await owner.query('BEGIN');
    await owner.query('SELECT tenancy.enter_move($1, null)', [attacker.tenantId]);
    expect((await owner.query('SELECT FROM shared.employee_skills')).rowCount).toBe(0);
    await owner.query('ROLLBACK');
  });

  test('is not led astray by objects of a request role: it can create none that a refresh would run', async () => {
    for (const schema of ['shared', 'public', 'tenancy', business.schemaName]) {
      await expect(
        session.query(`CREATE FUNCTION ${schema}.sum(bigint) RETURNS bigint RETURN 1`),
      ).rejects.toMatchObject({ code: '42501' });
    }
    // The settings of the session that refreshes do not reach the view's query either.
    await owner.query(`BEGIN; SET LOCAL search_path = '${business.schemaName}'`);
    await owner.query('REFRESH MATERIALIZED VIEW CONCURRENTLY shared.tenant_skills_summary');
    await owner.query('COMMIT');
    expect((await as(victim, session, 'SELECT FROM skills_summary')).rowCount).toBe(1);
    expect((await as(attacker, session, 'SELECT FROM skills_summary')).rowCount).toBe(0);
  });
});
