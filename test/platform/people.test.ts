import { importJWK, SignJWT } from 'jose';
import { beforeAll, describe, expect, test } from 'vitest';
import { routes as assessments } from '../../functions/api/assessments/routes.ts';
import { routes as people } from '../../functions/api/people/routes.ts';
import { routes as skills } from '../../functions/api/skills/routes.ts';
import { routes as users } from '../../functions/api/users/routes.ts';
import { readIdentity } from '../../infra/local/index.ts';
import { inDatabaseOf, inRegistry } from './backup-runs.ts';
import {
  call,
  newEmployee,
  onboardOwnTenant,
  operatorToken,
  platform,
  token,
  UNLIMITED,
  unique,
} from './running-platform.ts';

type Role = 'admin' | 'member' | 'viewer';

let slug: string;
let tenantId: string;
let operator: string;
const tokens = {} as Record<Role, string>;
beforeAll(async () => {
  operator = await operatorToken();
  slug = await onboardOwnTenant();
  ({ tenantId } = (await call('GET', `/tenants/${slug}`, { token: operator })).body);
  const body = { email: `member@${slug}.test`, role: 'member' };
  await call('POST', `/tenants/${slug}/users`, { token: operator, body });
  for (const role of ['admin', 'member', 'viewer'] as const) tokens[role] = await of(`${role}@${slug}.test`);
});

const of = (email: string, tenant = slug) => token('--tenant', tenant, '--user', email);
const admin = (method: string, path: string, more: object = {}) =>
  call(method, path, { token: tokens.admin, ...more });
const invite = (email: string, role: Role = 'member') => admin('POST', '/users', { body: { email, role } });
const someone = () => `${unique('user')}@example.test`;

describe('roles', () => {
  /** Who may change what; everybody reads everything but what only administrators see. */
  const WRITERS: Readonly<Record<string, readonly Role[]>> = {
    '/employees': ['member', 'admin'],
    '/teams': ['member', 'admin'],
    '/skills': ['member', 'admin'],
    '/assessments': ['member', 'admin'],
    '/frameworks': ['admin'],
    '/roles': ['admin'],
    '/certifications': ['admin'],
    '/users': ['admin'],
    // The caller's own choice.
    '/me': ['viewer', 'member', 'admin'],
  };
  const SECRET = ['/users', '/audit-log'];
  const ALL: readonly Role[] = ['viewer', 'member', 'admin'];
  const nobody = '00000000-0000-4000-8000-000000000000';

  const allowed = (route: string): readonly Role[] => {
    const [method = '', path = ''] = route.split(' ');
    const root = `/${path.split('/')[1]}`;
    if (SECRET.includes(root)) return ['admin'];
    return method === 'GET' ? ALL : (WRITERS[root] ?? []);
  };

  test.each(Object.keys({ ...people, ...skills, ...assessments, ...users }))('%s', async (route) => {
    const [method = '', path = ''] = route.split(' ');
    const expected = allowed(route);
    expect(expected.length, 'the route is in no row of the table').toBeGreaterThan(0);
    const refused: Role[] = [];
    for (const role of ALL) {
      // Nothing is changed: the input is empty, and the ids are nobody's.
      const answer = await call(method, path.replaceAll(/\{\w+\}/g, nobody), {
        token: tokens[role],
        ...(['POST', 'PATCH', 'PUT'].includes(method) ? { body: { nothing: 1 } } : {}),
      });
      if (answer.status === 403) {
        expect(answer.body.type).toBe('urn:strata:problem:role-not-allowed');
        refused.push(role);
      } else expect([200, 400, 404]).toContain(answer.status);
    }
    expect(ALL.filter((role) => !refused.includes(role))).toEqual(expected.toSorted(byRights));
  });

  const byRights = (one: Role, other: Role) => ALL.indexOf(one) - ALL.indexOf(other);
});

describe('GET /me', () => {
  test('tells a user the tenant, the role, the features and the limits', async () => {
    const features = { beta: { enabled: true } };
    await call('PATCH', `/tenants/${slug}`, { token: operator, body: { features, maxUsers: 20 } });
    const { status, body } = await call('GET', '/me', { token: tokens.viewer });
    expect(status).toBe(200);
    expect(body).toEqual({
      user: {
        kind: 'user',
        userId: expect.stringMatching(/^[0-9a-f-]{36}$/),
        email: `viewer@${slug}.test`,
        lastLoginAt: null,
      },
      tenant: { tenantId, slug, name: `Tenant ${slug}`, tier: 'starter', dataResidency: 'us' },
      role: 'viewer',
      features,
      limits: { maxUsers: 20, maxStorageGb: expect.any(Number), ...UNLIMITED },
    });
  });

  test('tells an operator who acts for a tenant, and no operator without one', async () => {
    const headers = { 'x-tenant-id': slug };
    const { status, body } = await call('GET', '/me', { token: operator, headers });
    expect(status).toBe(200);
    expect(body).toMatchObject({
      user: { kind: 'operator', userId: null, email: 'operator@strata.test' },
      tenant: { slug },
      role: 'admin',
    });
    expect((await call('GET', '/me', { token: operator })).status).toBe(400);
  });
});

describe('the tenants of a person', () => {
  test('are listed, and one is chosen', async () => {
    const email = someone();
    const other = await onboardOwnTenant();
    await invite(email, 'viewer');
    await call('POST', `/tenants/${other}/users`, { token: operator, body: { email, role: 'admin' } });
    const own = await of(email);
    const items = async () => (await call('GET', '/me/tenants', { token: own })).body.items;
    const both = [
      expect.objectContaining({ slug, role: 'viewer', isChosen: false }),
      expect.objectContaining({ slug: other, role: 'admin', isChosen: false }),
    ];
    expect(await items()).toEqual(expect.arrayContaining(both));
    expect(await items()).toHaveLength(2);
    const choose = (tenant: unknown) => call('PUT', '/me/tenant', { token: own, body: { tenant } });
    expect(await choose(other)).toMatchObject({
      status: 200,
      body: { slug: other, role: 'admin', isChosen: true },
    });
    expect(await choose(tenantId.toUpperCase())).toMatchObject({ status: 200, body: { slug } });
    expect((await items()).filter((one: { isChosen: boolean }) => one.isChosen)).toMatchObject([{ slug }]);
    for (const foreign of ['globex', 'nobody', '00000000-0000-4000-8000-000000000000']) {
      expect(await choose(foreign)).toMatchObject({
        status: 403,
        body: { type: 'urn:strata:problem:not-a-member' },
      });
    }
    for (const wrong of ['', 7, null, 'x'.repeat(101), 'a\u0000b']) {
      expect((await choose(wrong)).status).toBe(400);
    }
    expect(
      (await call('PUT', '/me/tenant', { token: own, body: { tenant: slug, role: 'admin' } })).status,
    ).toBe(400);
    expect((await items()).filter((one: { isChosen: boolean }) => one.isChosen)).toMatchObject([{ slug }]);
  });
});

test('an identity provider learns of no tenant but its own, and chooses no other', async () => {
  const email = someone();
  await invite(email, 'viewer');
  await call('POST', '/tenants/globex/users', { token: operator, body: { email, role: 'viewer' } });
  const theirs = await signed({ email, tenant_id: tenantId, identity_provider: 'Corp' });
  const { body } = await call('GET', '/me/tenants', { token: theirs });
  expect(body.items).toEqual([expect.objectContaining({ slug })]);
  const choose = (tenant: string) => call('PUT', '/me/tenant', { token: theirs, body: { tenant } });
  expect(await choose('globex')).toMatchObject({
    status: 403,
    body: { type: 'urn:strata:problem:not-a-member' },
  });
  expect((await choose(slug)).status).toBe(200);
  // Without a tenant of its own there is none.
  const stray = await signed({ email, identity_provider: 'Corp' });
  expect((await call('GET', '/me/tenants', { token: stray })).body.items).toEqual([]);
  // And without a confirmed address there is nobody.
  const nobody = await signed({ identity_provider: 'Corp' });
  expect((await call('GET', '/me/tenants', { token: nobody })).status).toBe(403);
});

/** An access token as the trigger lets Cognito sign it. */
async function signed(claims: Record<string, string>): Promise<string> {
  const { privateKey, issuer, clientId } = readIdentity(platform().stateDir)!;
  return new SignJWT({ sub: 'Corp jane', client_id: clientId, token_use: 'access', ...claims })
    .setProtectedHeader({ alg: 'RS256', kid: privateKey.kid! })
    .setIssuer(issuer)
    .setIssuedAt()
    .setExpirationTime('1h')
    .sign(await importJWK(privateKey, 'RS256'));
}

describe('/users', () => {
  test('an admin invites, lists, reads, changes and deletes users', async () => {
    const email = someone();
    const created = await invite(email.toUpperCase());
    expect(created).toMatchObject({
      status: 201,
      body: { tenantId, email, role: 'member', isActive: true, lastLoginAt: null },
    });
    const path = `/users/${created.body.userId}`;
    expect(created.headers.get('location')).toBe(path);
    const read = await admin('GET', path);
    expect([read.body, read.headers.get('etag')]).toEqual([created.body, created.headers.get('etag')]);
    expect((await admin('GET', '/users?limit=200')).body.items).toContainEqual(created.body);
    const { body: page } = await admin('GET', '/users?limit=1');
    expect([page.items.length, typeof page.nextCursor]).toEqual([1, 'string']);

    const changed = await admin('PATCH', path, { body: { role: 'viewer', isActive: false } });
    expect(changed).toMatchObject({ status: 200, body: { role: 'viewer', isActive: false } });
    const etag = String(created.headers.get('etag'));
    expect(
      (await admin('PATCH', path, { body: { role: 'admin' }, headers: { 'if-match': etag } })).status,
    ).toBe(412);
    expect((await admin('DELETE', path, { headers: { 'if-match': etag } })).status).toBe(412);
    expect((await admin('DELETE', path)).status).toBe(204);
    expect((await admin('GET', path)).status).toBe(404);
    expect((await admin('DELETE', path)).status).toBe(404);
  });

  test('every change is in the tenant’s own log and in the registry’s, with the admin who made it', async () => {
    const email = someone();
    const { body: user } = await invite(email);
    const path = `/users/${user.userId}`;
    await admin('PATCH', path, { body: { role: 'viewer' } });
    await admin('DELETE', path);
    const actions = ['user.create', 'user.update', 'user.delete'];
    const log = await inRegistry(
      `SELECT l.action, l.actor_type, u.email AS actor FROM control_audit_log l
         LEFT JOIN tenant_users u ON u.user_id::text = l.actor
        WHERE l.resource_id = $1 ORDER BY l.created_at`,
      [user.userId],
    );
    const by = { actor_type: 'user', actor: `admin@${slug}.test` };
    expect(log).toEqual(actions.map((action) => ({ action, ...by })));
    await inDatabaseOf(
      tenantId,
      (schema) => `DO $$ BEGIN
        IF (SELECT array_agg(action::text ORDER BY created_at) FROM ${schema}.audit_log
             WHERE resource_id = '${user.userId}' AND actor = 'user:admin@${slug}.test')
           IS DISTINCT FROM ARRAY['${actions.join("', '")}'] THEN RAISE 'the log lacks something';
        END IF; END $$`,
    );
  });

  test('a repeated request under one key invites once', async () => {
    const headers = { 'idempotency-key': unique('key') };
    const body = { email: someone(), role: 'viewer' };
    const first = await admin('POST', '/users', { body, headers });
    const second = await admin('POST', '/users', { body, headers });
    expect([first.status, second.status, second.body]).toEqual([201, 201, first.body]);
    expect(second.headers.get('idempotency-replayed')).toBe('true');
    const another = { ...body, role: 'admin' };
    expect((await admin('POST', '/users', { body: another, headers })).status).toBe(422);
  });

  test('the last active admin stays, the address is taken once, and the limit holds', async () => {
    const own = await onboardOwnTenant();
    const self = await of(`admin@${own}.test`, own);
    const { body } = await call('GET', '/users', { token: self });
    const { userId } = body.items.find((one: { role: Role }) => one.role === 'admin');
    const conflict = { status: 409, body: { type: 'urn:strata:problem:conflict' } };
    for (const change of [{ role: 'member' }, { isActive: false }]) {
      expect(await call('PATCH', `/users/${userId}`, { token: self, body: change })).toMatchObject(conflict);
    }
    expect(await call('DELETE', `/users/${userId}`, { token: self })).toMatchObject(conflict);
    const again = { email: `ADMIN@${own}.test`, role: 'viewer' };
    expect(await call('POST', '/users', { token: self, body: again })).toMatchObject({
      status: 409,
      body: { errors: [{ pointer: '/email' }] },
    });
    await call('PATCH', `/tenants/${own}`, { token: operator, body: { maxUsers: 2 } });
    const more = { email: someone(), role: 'viewer' };
    expect(await call('POST', '/users', { token: self, body: more })).toMatchObject(conflict);
    expect((await call('GET', '/users', { token: self })).body.items).toHaveLength(2);
  });

  test.each([
    ['an unknown role', { email: 'a@b.test', role: 'owner' }],
    ['no role', { email: 'a@b.test' }],
    ['no address', { role: 'viewer' }],
    ['an address that is none', { email: 'nobody', role: 'viewer' }],
    ['an unknown field', { email: 'a@b.test', role: 'viewer', tenantId: 'x' }],
    ['a NUL character', { email: 'a\u0000@b.test', role: 'viewer' }],
  ])('%s is refused and changes nothing', async (_name, body) => {
    const before = (await admin('GET', '/users?limit=200')).body.items;
    expect(await admin('POST', '/users', { body })).toMatchObject({ status: 400, body: { status: 400 } });
    expect((await admin('GET', '/users?limit=200')).body.items).toEqual(before);
  });

  test('another tenant’s user is not found', async () => {
    const { body } = await call('GET', '/tenants/globex/users', { token: operator });
    const path = `/users/${body.items[0].userId}`;
    expect((await admin('GET', path)).status).toBe(404);
    expect((await admin('PATCH', path, { body: { role: 'viewer' } })).status).toBe(404);
    expect((await admin('DELETE', path)).status).toBe(404);
    expect((await admin('GET', '/users/not-an-id')).status).toBe(404);
    expect((await admin('GET', '/users?limit=0')).status).toBe(400);
    expect((await admin('GET', '/users?cursor=nonsense')).status).toBe(400);
    expect((await admin('GET', '/users?role=admin')).status).toBe(400);
  });
});

describe('a change of a membership', () => {
  // Repeated, because another test file's request may take the container in between.
  test('takes effect at once in the container that served it', { retry: 3 }, async () => {
    const email = someone();
    const { body: user } = await invite(email, 'admin');
    const path = `/users/${user.userId}`;
    const theirs = await of(email);
    expect((await call('GET', '/users', { token: theirs })).status).toBe(200);
    await admin('PATCH', path, { body: { role: 'member' } });
    expect((await call('GET', '/users', { token: theirs })).body.type).toBe(
      'urn:strata:problem:role-not-allowed',
    );
    expect((await call('GET', '/me', { token: theirs })).body.role).toBe('member');
    await admin('PATCH', path, { body: { isActive: false } });
    expect((await call('GET', '/me', { token: theirs })).body.type).toBe('urn:strata:problem:not-a-member');
    await admin('PATCH', path, { body: { isActive: true, role: 'viewer' } });
    expect((await call('GET', '/me', { token: theirs })).body.role).toBe('viewer');
    await admin('DELETE', path);
    expect((await call('GET', '/me', { token: theirs })).status).toBe(403);
  });

  test('takes effect within two seconds elsewhere, while requests keep coming', async () => {
    const email = someone();
    const { body: user } = await invite(email, 'member');
    const theirs = await of(email);
    const hire = () => call('POST', '/employees', { token: theirs, body: newEmployee() });
    expect((await hire()).status).toBe(201);
    await admin('PATCH', `/users/${user.userId}`, { body: { role: 'viewer' } });
    const since = performance.now();
    let begun = since;
    for (;;) {
      begun = performance.now();
      if ((await hire()).status === 403) break;
      // A request that was begun later than that must have been refused.
      expect(begun - since).toBeLessThan(2_000);
    }
    expect((await call('GET', '/employees?limit=1', { token: theirs })).status).toBe(200);
  });
});
