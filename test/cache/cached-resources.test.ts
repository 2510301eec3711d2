/** What is cached of a tenant under all three models, who sees what of it, and what each change makes current. */
import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { type LocalKeys, startLocalKeys } from '../encryption/local-keys.ts';
import { asTenant } from '../enter-tenant.ts';
import type { Model } from '../isolation/tenant-world.ts';
import { type Answer, MODELS, newEmployee, TenantRequests } from '../request/tenant-requests.ts';
import { TestValkey, valkeyInstalled } from './test-valkey.ts';

let valkey: TestValkey;
let keys: LocalKeys;
/** The same tenants in two containers that share the cache, and in one that has none. */
let one: TenantRequests;
let other: TenantRequests;
let without: TenantRequests;
beforeAll(async () => {
  if (!valkeyInstalled) return;
  keys = await startLocalKeys();
  [valkey, without] = await Promise.all([TestValkey.start(), TenantRequests.start()]);
  valkey.trust();
  one = without.restarted({ caches: valkey.pool() });
  other = without.restarted({ caches: valkey.pool() });
  for (const { tenantId } of without.world.tenants) {
    await without.world.registry.query(
      `INSERT INTO tenant_users (tenant_id, email, role) VALUES (:tenantId::uuid, 'viewer@tenant.test', 'viewer')`,
      { tenantId },
    );
  }
});
afterAll(async () => {
  await valkey?.stop();
  await without?.world.end();
  await keys?.stop();
});
beforeEach(async () => {
  await valkey?.inspector.flushall();
});

type Path = Readonly<Record<string, string>>;

const call = async (
  api: TenantRequests,
  model: Model,
  route: string,
  pathParameters: Path = {},
  body?: object,
): Promise<Answer> => {
  const answer = await api.call(model, route, { pathParameters, ...(body ? { body } : {}) });
  expect(answer.status, answer.text).toBeLessThan(300);
  return answer;
};
const employee = (api: TenantRequests, model: Model, employeeId: string) =>
  call(api, model, 'GET /employees/{employeeId}', { employeeId });
const members = async (api: TenantRequests, model: Model, teamId: string): Promise<string[]> => {
  const { body } = await call(api, model, 'GET /teams/{teamId}/members', { teamId });
  return body.items.map((item: { employeeId: string }) => item.employeeId);
};
const addTeam = async (model: Model, fields: object = {}): Promise<string> => {
  const { body } = await call(one, model, 'POST /teams', {}, { teamName: 'A team', ...fields });
  return body.teamId;
};
const join = (model: Model, teamId: string, employeeId: string) =>
  call(one, model, 'POST /teams/{teamId}/members', { teamId }, { employeeId });

const asViewer = (api: TenantRequests, model: Model, employeeId: string, headers = {}) =>
  api.call(model, 'GET /employees/{employeeId}', {
    pathParameters: { employeeId },
    claims: { sub: 'v', email: 'viewer@tenant.test', tenant_id: api.tenant(model).tenantId },
    headers,
  });

/** Changes a row so that the cache does not learn of it. */
const behindTheCache = async (model: Model, statement: string, id: string) => {
  const tenant = without.tenant(model);
  const client = await tenant.database.connect(tenant.login);
  await asTenant(client, tenant, 'write', () => client.query(statement, [id]));
  await client.end();
};

describe.skipIf(!valkeyInstalled).each(MODELS)('in %s', (model) => {
  test('an employee is cached under its key, with the same answer and entity tag', async () => {
    const employeeId = await one.addEmployee(model, { profileData: { b: 1, a: [null, { z: 'ü' }] } });
    const fresh = await employee(without, model, employeeId);
    const missed = await employee(one, model, employeeId);
    await behindTheCache(
      model,
      `UPDATE employees SET job_title = 'unseen' WHERE employee_id = $1`,
      employeeId,
    );
    const hit = await employee(other, model, employeeId);
    expect([missed.text, hit.text]).toEqual([fresh.text, fresh.text]);
    expect([missed.headers.etag, hit.headers.etag]).toEqual([fresh.headers.etag, fresh.headers.etag]);
    const { tenantId } = one.tenant(model);
    expect(await valkey.keys()).toContain(`tenant:${tenantId}:employee:${employeeId}:e1`);
    const known = await asViewer(other, model, employeeId, { 'if-none-match': String(fresh.headers.etag) });
    expect(known.status).toBe(304);
  });

  test('an encrypted field is shown to administrators only, and is never in clear in the cache', async () => {
    const employeeId = await one.addEmployee(model, { ssn: '078-05-1120', salary: 91_234.56 });
    const admin = await employee(one, model, employeeId);
    const viewer = await asViewer(other, model, employeeId);
    const again = await employee(other, model, employeeId);
    expect([admin.body.ssn, admin.body.salary]).toEqual(['078-05-1120', 91_234.56]);
    expect(again.body).toEqual(admin.body);
    expect(Object.keys(viewer.body)).not.toContain('ssn');
    expect(viewer.headers.etag).toBe(admin.headers.etag);
    const content = await valkey.content();
    expect(content).toContain('ssn_encrypted');
    expect(content).not.toMatch(/078-05-1120|91234\.56/);
  });

  test('a change of an employee is seen by every container', async () => {
    const employeeId = await one.addEmployee(model);
    await employee(one, model, employeeId);
    await call(other, model, 'PATCH /employees/{employeeId}', { employeeId }, { jobTitle: 'Chemist' });
    expect((await employee(one, model, employeeId)).body.jobTitle).toBe('Chemist');
  });

  test('the deletion of an employee reaches reports, teams, members, and the employee', async () => {
    const managerId = await one.addEmployee(model);
    const reportId = await one.addEmployee(model, { managerId });
    const teamId = await addTeam(model, { managerId });
    await join(model, teamId, managerId);
    await join(model, teamId, reportId);
    await employee(one, model, managerId);
    await employee(one, model, reportId);
    await call(one, model, 'GET /teams/{teamId}', { teamId });
    expect((await members(one, model, teamId)).sort()).toEqual([managerId, reportId].sort());
    await call(other, model, 'DELETE /employees/{employeeId}', { employeeId: managerId });
    expect((await employee(one, model, reportId)).body.managerId).toBeNull();
    expect((await call(one, model, 'GET /teams/{teamId}', { teamId })).body.managerId).toBeNull();
    expect(await members(one, model, teamId)).toEqual([reportId]);
    const pathParameters = { employeeId: managerId };
    expect((await one.call(model, 'GET /employees/{employeeId}', { pathParameters })).status).toBe(404);
  });

  test('members of a team are current after each change of them', async () => {
    const [teamId, employeeId] = [await addTeam(model), await one.addEmployee(model)];
    expect(await members(one, model, teamId)).toEqual([]);
    await join(model, teamId, employeeId);
    expect(await members(other, model, teamId)).toEqual([employeeId]);
    const path = { teamId, employeeId };
    await call(one, model, 'PATCH /teams/{teamId}/members/{employeeId}', path, { role: 'lead' });
    const { body } = await call(other, model, 'GET /teams/{teamId}/members', { teamId });
    expect(body.items[0].role).toBe('lead');
    await call(one, model, 'DELETE /teams/{teamId}/members/{employeeId}', path);
    expect(await members(other, model, teamId)).toEqual([]);
    await call(one, model, 'DELETE /teams/{teamId}', { teamId });
    const pathParameters = { teamId };
    expect((await other.call(model, 'GET /teams/{teamId}/members', { pathParameters })).status).toBe(404);
    expect((await other.call(model, 'GET /teams/{teamId}', { pathParameters })).status).toBe(404);
  });

  test('the list of skills is current after each change of one, and after an import', async () => {
    const names = async (api: TenantRequests): Promise<string[]> => {
      const { body } = await call(api, model, 'GET /skills');
      return body.items.map(({ skillName }: { skillName: string }) => skillName);
    };
    const skillName = `Skill ${randomUUID()}`;
    expect(await names(one)).not.toContain(skillName);
    const { body } = await call(other, model, 'POST /skills', {}, { skillName });
    expect(await names(one)).toContain(skillName);
    const { skillId } = body;
    await call(other, model, 'PATCH /skills/{skillId}', { skillId }, { skillName: `${skillName}!` });
    expect(await names(one)).toContain(`${skillName}!`);
    await call(other, model, 'DELETE /skills/{skillId}', { skillId });
    expect(await names(one)).not.toContain(`${skillName}!`);
    const imported = { frameworkName: 'F', version: randomUUID(), skills: [{ skillName: `${skillName}?` }] };
    await call(other, model, 'POST /frameworks/import', {}, imported);
    expect(await names(one)).toContain(`${skillName}?`);
  });

  test('a result of an assessment is current while it is answered and completed', async () => {
    const employeeId = await one.addEmployee(model);
    const questions = [{ id: 'q', kind: 'scale', prompt: 'How well?', options: [{ value: 'a', score: 50 }] }];
    const created = await call(one, model, 'POST /assessments', {}, { assessmentName: 'A', questions });
    const { assessmentId } = created.body;
    await call(one, model, 'PATCH /assessments/{assessmentId}', { assessmentId }, { status: 'published' });
    const at = '/assessments/{assessmentId}/results';
    const started = await call(one, model, `POST ${at}`, { assessmentId }, { employeeId });
    const path = { assessmentId, resultId: started.body.resultId };
    const read = (api: TenantRequests) => call(api, model, `GET ${at}/{resultId}`, path);
    expect((await read(one)).body.status).toBe('in_progress');
    await call(other, model, `PATCH ${at}/{resultId}`, path, { answers: { q: 'a' }, status: 'completed' });
    expect((await read(one)).body).toMatchObject({ status: 'completed', answers: { q: 'a' } });
  });

  test('lists with parameters come from the database', async () => {
    const teamId = await addTeam(model);
    await join(model, teamId, await one.addEmployee(model));
    const list = (query: Record<string, string>) =>
      one.call(model, 'GET /teams/{teamId}/members', { pathParameters: { teamId }, query });
    expect((await list({ limit: '1' })).status).toBe(200);
    expect((await list({ sort: '-joinedAt' })).status).toBe(200);
    // The tenant's requests are counted there too.
    expect((await valkey.keys()).filter((key) => !key.endsWith(':requests'))).toEqual([]);
  });
});

test.skipIf(!valkeyInstalled)(
  'the deletion of an employee reaches a report that is added while it waits',
  async () => {
    const model = 'schema';
    const managerId = await one.addEmployee(model);
    const reportId = await one.addEmployee(model, { managerId });
    expect((await employee(one, model, reportId)).body.managerId).toBe(managerId);
    const change = `UPDATE employees SET manager_id = $2 WHERE employee_id = $1`;
    const tenant = without.tenant(model);
    const client = await tenant.database.connect(tenant.login);
    await asTenant(client, tenant, 'write', () => client.query(change, [reportId, null]));
    const observer = await tenant.database.connect('superuser');
    let deletion: Promise<Answer> | undefined;
    await asTenant(client, tenant, 'write', async () => {
      await client.query(change, [reportId, managerId]);
      deletion = call(other, model, 'DELETE /employees/{employeeId}', { employeeId: managerId });
      const waiting = `SELECT count(*)::int AS count FROM pg_locks WHERE NOT granted AND locktype <> 'advisory'
      AND pid IN (SELECT pid FROM pg_stat_activity WHERE datname = current_database())`;
      await expect.poll(async () => (await observer.query(waiting)).rows[0].count).toBe(1);
    });
    await deletion;
    await client.end();
    await observer.end();
    expect((await employee(one, model, reportId)).body.managerId).toBeNull();
  },
);

test.skipIf(!valkeyInstalled)('what is cached of one tenant is no other tenant’s', async () => {
  const employeeId = await one.addEmployee('shared', newEmployee());
  await employee(one, 'shared', employeeId);
  for (const model of ['schema', 'dedicated'] as const) {
    const pathParameters = { employeeId };
    expect((await one.call(model, 'GET /employees/{employeeId}', { pathParameters })).status).toBe(404);
  }
});

test.skipIf(!valkeyInstalled)(
  'a tenant above its storage limit reads, changes and deletes, but adds nothing',
  async () => {
    const { tenantId } = without.tenant('schema');
    const employeeId = await one.addEmployee('schema');
    await without.world.registry.query(
      'UPDATE tenants SET max_storage_gb = 1 WHERE tenant_id = :tenantId::uuid',
      {
        tenantId,
      },
    );
    await without.world.registry.query(
      `INSERT INTO usage_samples (tenant_id, sampled_on, active_users, active_employees, storage_bytes)
     VALUES (:tenantId::uuid, current_date - 1, 1, 1, 1), (:tenantId::uuid, current_date, 1, 1, 2000000000)`,
      { tenantId },
    );
    const full = without.restarted();
    const refused = await full.call('schema', 'POST /employees', { body: newEmployee() });
    expect(refused).toMatchObject({ status: 409, body: { type: 'urn:strata:problem:storage-limit' } });
    const imported = { frameworkName: 'F', version: '1', skills: [{ skillName: 'S' }] };
    expect((await full.call('schema', 'POST /frameworks/import', { body: imported })).status).toBe(409);
    await call(full, 'schema', 'PATCH /employees/{employeeId}', { employeeId }, { jobTitle: 'x' });
    await call(full, 'schema', 'DELETE /employees/{employeeId}', { employeeId });
    await without.world.registry.query(
      'UPDATE usage_samples SET storage_bytes = 1 WHERE tenant_id = :tenantId::uuid',
      { tenantId },
    );
    expect(
      (await without.restarted().call('schema', 'POST /employees', { body: newEmployee() })).status,
    ).toBe(201);
  },
);
