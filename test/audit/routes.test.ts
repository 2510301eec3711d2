/** `GET /audit-log`, its verification, who may read them, and what refused requests leave. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { REFUSALS_PER_HOUR, refusalInsert } from '../../functions/tenant-data/refusal-entry.ts';
import { asTenant } from '../enter-tenant.ts';
import type { Model } from '../isolation/tenant-world.ts';
import { ADMIN, MODELS, type RequestParts, TenantRequests } from '../request/tenant-requests.ts';
import { AuditedTenant } from './audited-tenant.ts';

const MISSING = '00000000-0000-4000-8000-000000000000';
const ROLES = ['admin', 'member', 'viewer'] as const;
type Role = (typeof ROLES)[number];

let api: TenantRequests;
beforeAll(async () => {
  api = await TenantRequests.start();
  for (const { tenantId } of api.world.tenants) {
    for (const [name, role] of [
      ['member', 'member'],
      ['viewer', 'viewer'],
      ['flooder', 'viewer'],
    ]) {
      await api.world.registry.query(
        `INSERT INTO tenant_users (tenant_id, email, role) VALUES (:tenantId::uuid, :email, :role)`,
        { tenantId, email: `${name}@tenant.test`, role: role! },
      );
    }
  }
});
afterAll(() => api?.world.end());

const as = (model: Model, role: Role, route: string, parts: RequestParts = {}) =>
  api.call(model, route, {
    ...parts,
    claims: { sub: role, email: `${role}@tenant.test`, tenant_id: api.tenant(model).tenantId },
  });
const asOperator = (model: Model, route: string) =>
  api.call(model, route, {
    claims: { sub: 'o', scope: 'strata/operator', email: 'operator@strata.test' },
    headers: { 'x-tenant-id': api.tenant(model).tenantId },
  });
const list = (model: Model, query: Record<string, string> = {}) =>
  api.call(model, 'GET /audit-log', { query });
// biome-ignore lint/suspicious/noExplicitAny: entries of any shape.
const items = async (model: Model, query: Record<string, string> = {}): Promise<any[]> =>
  (await list(model, query)).body.items;

describe.each(MODELS)('in %s', (model) => {
  test.each(['GET /audit-log', 'GET /audit-log/verification'])('%s is for administrators', async (route) => {
    const answers = await Promise.all(ROLES.map((role) => as(model, role, route)));
    expect(answers.map(({ status }) => status)).toEqual([200, 403, 403]);
    for (const { body } of answers.slice(1)) expect(body.type).toBe('urn:strata:problem:role-not-allowed');
    expect((await asOperator(model, route)).status).toBe(200);
    expect((await items(model, { action: 'operator.access' }))[0]).toMatchObject({
      actor: 'operator:operator@strata.test',
      requestData: { route },
      responseStatus: 200,
    });
  });

  test('an entry has who, what, where from, and what changed', async () => {
    const id = await api.addEmployee(model);
    await api.call(model, 'PATCH /employees/{employeeId}', {
      pathParameters: { employeeId: id },
      body: { jobTitle: 'Chemist' },
    });
    const [updated, created] = await items(model, { resourceType: 'employee', resourceId: id });
    expect(updated).toEqual({
      logId: expect.any(String),
      createdAt: expect.stringMatching(/^\d{4}-\d\d-\d\dT.*Z$/),
      actor: `user:${ADMIN}`,
      userId: expect.any(String),
      action: 'employee.update',
      resourceType: 'employee',
      resourceId: id,
      responseStatus: 200,
      changes: { before: { jobTitle: null }, after: { jobTitle: 'Chemist' } },
      requestData: { jobTitle: 'Chemist' },
      ipAddress: '127.0.0.1',
      userAgent: 'test',
    });
    expect(created).toMatchObject({ action: 'employee.create', requestData: { firstName: 'Ada' } });
  });

  test('filters narrow the list', async () => {
    const [from, to] = ['2026-01-01T10:00:00Z', '2026-01-01T11:00:00.5+01:00'];
    const tenant = api.tenant(model);
    const client = await tenant.database.connect(tenant.login);
    await asTenant(client, tenant, 'write', () =>
      client.query(
        `INSERT INTO audit_log (actor, action, resource_type, created_at)
         SELECT 'user:grace@tenant.test', 'filter.' || n, 'filtered', $1::timestamptz + make_interval(secs => n)
         FROM generate_series(0, 2) n`,
        [from],
      ),
    );
    await client.end();
    const actions = async (query: Record<string, string>) =>
      (await items(model, { resourceType: 'filtered', ...query })).map(({ action }) => action);
    expect(await actions({})).toEqual(['filter.2', 'filter.1', 'filter.0']);
    expect(await actions({ sort: 'createdAt' })).toEqual(['filter.0', 'filter.1', 'filter.2']);
    expect(await actions({ actor: 'grace@tenant.test', action: 'filter.1' })).toEqual(['filter.1']);
    expect(await actions({ actor: 'user:grace@tenant.test' })).toHaveLength(3);
    // As it may be typed: addresses are stored in lower case.
    expect(await actions({ actor: 'Grace@Tenant.TEST' })).toHaveLength(3);
    expect(await actions({ actor: 'race@tenant.test' })).toEqual([]);
    // From the first moment on, up to the last one, which is not included.
    expect(await actions({ from, to: '2026-01-01T10:00:02Z' })).toEqual(['filter.1', 'filter.0']);
    expect(await actions({ to })).toEqual(['filter.0']);
    expect(await actions({ from, to: from })).toEqual([]);
    expect(await actions({ resourceId: MISSING })).toEqual([]);
  });

  test.each([
    { limit: '0' },
    { limit: '201' },
    { cursor: 'nonsense' },
    { from: 'yesterday' },
    { from: '2026-01-02T00:00:00+01:00', to: '2026-01-01T22:00:00Z' },
    { resourceId: '7' },
    { sort: 'actor' },
    { q: 'text' },
    { actor: ' ' },
  ])('%o is refused', async (query) => {
    expect(await list(model, query)).toMatchObject({
      status: 400,
      body: { type: 'urn:strata:problem:validation' },
    });
  });

  test.each(['nonsense', 'W10', 'WzAuNV0', 'Wy0xXQ', 'WyIxIl0'])(
    'the cursor %s of a verification is refused',
    async (cursor) => {
      const answer = await api.call(model, 'GET /audit-log/verification', { query: { cursor } });
      expect(answer.status).toBe(400);
    },
  );

  test('the pages of a list have each entry once, in both directions, while others are written', async () => {
    const tenant = api.tenant(model);
    const client = await tenant.database.connect(tenant.login);
    await asTenant(client, tenant, 'write', () =>
      client.query(
        `INSERT INTO audit_log (action, resource_type, created_at)
         SELECT 'paged', 'page', '2026-02-01T00:00:00Z'::timestamptz + make_interval(secs => n / 7) FROM generate_series(1, 25) n`,
      ),
    );
    await client.end();
    for (const sort of ['createdAt', '-createdAt']) {
      const found: { logId: string; createdAt: string }[] = [];
      let cursor: string | null = '';
      while (cursor !== null) {
        const query: Record<string, string> = {
          action: 'paged',
          sort,
          limit: '7',
          ...(cursor ? { cursor } : {}),
        };
        const { body } = await list(model, query);
        found.push(...body.items);
        cursor = body.nextCursor;
        await api.addEmployee(model);
      }
      expect(new Set(found.map(({ logId }) => logId)).size).toBe(25);
      const times = found.map(({ createdAt }) => createdAt);
      expect(times).toEqual(sort === 'createdAt' ? times.toSorted() : times.toSorted().reverse());
    }
  });

  describe('a request that is refused', () => {
    const refusals = async (query: Record<string, string> = {}) =>
      items(model, { action: 'request.refused', ...query });

    test.each<[Role, string, number, string, RequestParts]>([
      ['viewer', 'POST /employees', 403, 'role-not-allowed', { body: {} }],
      ['viewer', 'GET /audit-log', 403, 'role-not-allowed', {}],
      [
        'member',
        'GET /employees/{employeeId}',
        404,
        'not-found',
        { pathParameters: { employeeId: MISSING } },
      ],
      [
        'member',
        'DELETE /employees/{employeeId}',
        404,
        'not-found',
        { pathParameters: { employeeId: MISSING } },
      ],
      ['member', 'GET /teams/{teamId}/members', 404, 'not-found', { pathParameters: { teamId: MISSING } }],
    ])('of a %s, %s, is recorded with %i', async (role, route, status, problem, parts) => {
      expect((await as(model, role, route, parts)).status).toBe(status);
      const [entry] = await refusals();
      expect(entry).toMatchObject({
        actor: `user:${role}@tenant.test`,
        action: 'request.refused',
        responseStatus: status,
        requestData: { route, problem },
        ipAddress: '127.0.0.1',
        userAgent: 'test',
        changes: null,
      });
      if (status === 404) expect(entry.resourceId).toBe(MISSING);
    });

    test('for another tenant’s employee looks as for one that is not there', async () => {
      const other = MODELS.find((one) => one !== model) as Model;
      const employeeId = await api.addEmployee(other);
      const parts = { pathParameters: { employeeId }, body: { jobTitle: 'Spy' } };
      expect((await as(model, 'member', 'PATCH /employees/{employeeId}', parts)).status).toBe(404);
      expect(await refusals({ resourceId: employeeId })).toMatchObject([
        { resourceType: 'employee', responseStatus: 404 },
      ]);
    });

    test('by its version is recorded, and the change is not', async () => {
      const employeeId = await api.addEmployee(model);
      const parts = {
        pathParameters: { employeeId },
        body: { jobTitle: 'Chemist' },
        headers: { 'if-match': '"other"' },
      };
      expect((await as(model, 'member', 'PATCH /employees/{employeeId}', parts)).status).toBe(412);
      expect((await items(model, { resourceId: employeeId })).map(({ action }) => action)).toEqual([
        'request.refused',
        'employee.create',
      ]);
    });

    test('for bad input, and one that succeeds, leave no such entry', async () => {
      const before = (await refusals({ limit: '200' })).length;
      await as(model, 'member', 'POST /employees', { body: {} });
      await as(model, 'member', 'GET /employees/{employeeId}', { pathParameters: { employeeId: 'no id' } });
      await as(model, 'member', 'GET /employees');
      expect(await refusals({ limit: '200' })).toHaveLength(before);
    });

    test('stays a refusal when the log cannot be written', async () => {
      const audited = await AuditedTenant.in(api.tenant(model).database, api.tenant(model));
      await audited.superuser.query(
        `REVOKE INSERT ON ${audited.table('audit_log')} FROM ${audited.tenant.roleName}`,
      );
      try {
        expect((await as(model, 'viewer', 'POST /employees', { body: {} })).status).toBe(403);
      } finally {
        await audited.superuser.query(
          `GRANT INSERT ON ${audited.table('audit_log')} TO ${audited.tenant.roleName}`,
        );
      }
    });

    test('a thousand times fills the log with a hundred entries; another user’s are still recorded', async () => {
      const flooder = await api.world.registry.query<{ user_id: string }>(
        `SELECT user_id FROM tenant_users WHERE tenant_id = :tenantId::uuid AND email = 'flooder@tenant.test'`,
        { tenantId: api.tenant(model).tenantId },
      );
      const userId = flooder[0]!.user_id;
      // As from many containers: each of these is a first refusal for its own.
      const entry = {
        action: 'request.refused',
        resourceType: 'employee',
        resourceId: undefined,
        requestData: { route: 'DELETE /employees/{employeeId}' },
        responseStatus: 403,
      };
      const actor = {
        kind: 'user',
        userId,
        name: 'flooder@tenant.test',
        role: 'viewer',
        ipAddress: undefined,
        userAgent: undefined,
      } as const;
      for (let n = 0; n < 200; n++) {
        await api.tenant(model).access.batch('write', [refusalInsert(actor, entry)]);
      }
      const flood = await items(model, { actor: 'flooder@tenant.test', limit: '200' });
      expect(flood).toHaveLength(REFUSALS_PER_HOUR);
      expect(flood[0].requestData).toMatchObject({ furtherRefusalsOmitted: true });
      expect(flood[1].requestData).not.toHaveProperty('furtherRefusalsOmitted');
      const before = (await refusals({ actor: 'viewer@tenant.test', limit: '200' })).length;
      await as(model, 'viewer', 'POST /employees', { body: {} });
      expect(await refusals({ actor: 'viewer@tenant.test', limit: '200' })).toHaveLength(before + 1);
    });

    test('in a flood costs the database nothing once a container has recorded enough', async () => {
      const claims = { sub: 'f', email: 'flooder@tenant.test', tenant_id: api.tenant(model).tenantId };
      const flood = () => api.call(model, 'POST /employees', { body: {}, claims });
      for (let n = 0; n < REFUSALS_PER_HOUR; n++)
        expect((await flood()).body.type).toBe('urn:strata:problem:role-not-allowed');
      const audited = await AuditedTenant.in(api.tenant(model).database, api.tenant(model));
      // An entry would wait for this lock, and wait on after its request was answered.
      await audited.superuser.query(`BEGIN; LOCK ${audited.table('audit_log')}`);
      expect((await flood()).status).toBe(403);
      const { rows } = await audited.superuser.query(
        `SELECT FROM pg_locks l JOIN pg_database d ON d.oid = l.database
         WHERE NOT granted AND datname = current_database() AND relation = $1::regclass`,
        [audited.table('audit_log')],
      );
      await audited.superuser.query('ROLLBACK');
      expect(rows).toEqual([]);
    });
  });

  test('the verification names what was changed, and the end of the log that is not sealed yet', async () => {
    const audited = await AuditedTenant.in(api.tenant(model).database, api.tenant(model));
    const verification = (query?: Record<string, string>) =>
      api.call(model, 'GET /audit-log/verification', { ...(query ? { query } : {}) });
    await audited.tamper(`UPDATE LOG SET created_at = created_at - interval '1 day' WHERE OWN`);
    await audited.seal({ batch: 20 });
    await audited.append(2, 0);
    const { body } = await verification();
    expect(body).toMatchObject({
      status: 'intact',
      firstBroken: null,
      unsealed: 2,
      expired: 0,
      nextCursor: null,
      lastScheduled: null,
    });
    expect(body.seals).toBeGreaterThan(3);
    const cursor = Buffer.from('[2]').toString('base64url');
    expect((await verification({ cursor })).body).toMatchObject({ seals: body.seals - 2, status: 'intact' });
    const [changed] = await audited.entries();
    await audited.tamper(`UPDATE LOG SET actor = 'user:eve@tenant.test' WHERE log_id = $1 AND OWN`, [
      changed!.log_id,
    ]);
    expect((await verification()).body).toMatchObject({
      status: 'broken',
      firstBroken: { what: 'entry', how: 'altered', sequence: 1, logId: changed!.log_id },
    });
    expect((await verification({ cursor })).body.status).toBe('intact');
  });
});
