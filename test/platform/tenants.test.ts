import { setTimeout as delay } from 'node:timers/promises';
import {
  DescribeExecutionCommand,
  ListStateMachinesCommand,
  SFNClient,
  StartExecutionCommand,
} from '@aws-sdk/client-sfn';
import { beforeAll, describe, expect, test } from 'vitest';
import {
  ASK_EVERY_MS,
  call,
  newEmployee,
  onboardOwnTenant,
  operatorToken,
  platform,
  token as tokenFor,
  unique,
  userToken,
} from './running-platform.ts';

let operator: string;
beforeAll(async () => {
  operator = await operatorToken();
});

const onboarding = (fields: Record<string, unknown> = {}) => {
  const slug = unique('t');
  return { name: `Tenant ${slug}`, slug, adminEmail: `Admin@${slug}.test`, ...fields };
};

async function becomes(path: string, status: string) {
  for (;;) {
    const { body } = await call('GET', path, { token: operator });
    if (body.status === status) return body;
    if (body.status === 'failed') throw new Error(`the tenant failed: ${body.reason}`);
    await delay(ASK_EVERY_MS);
  }
}

describe('operators and tenants', () => {
  test.each(['starter', 'business', 'enterprise'] as const)(
    'a %s tenant is onboarded by POST and serves',
    async (tier) => {
      const complianceRequirements = { starter: [], business: ['gdpr'], enterprise: ['hipaa'] }[tier];
      const input = onboarding({ tier, complianceRequirements });
      const posted = await call('POST', '/tenants', { token: operator, body: input });
      expect(posted.status).toBe(202);
      expect(posted.body).toMatchObject({ slug: input.slug, tier, status: 'provisioning' });
      const path = String(posted.headers.get('location'));
      expect(path).toBe(`/tenants/${posted.body.tenantId}`);
      const tenant = await becomes(path, 'active');
      expect(tenant).toMatchObject({
        region: 'us',
        apiUrl: platform().apiUrl.replace('localhost', '127.0.0.1'),
      });
      expect(tenant.isolationModel).toBe(
        { starter: 'shared', business: 'schema', enterprise: 'dedicated' }[tier],
      );
      const token = await tokenFor('--tenant', input.slug, '--user', `admin@${input.slug}.test`);
      expect((await call('POST', '/employees', { token, body: newEmployee() })).status).toBe(201);
      const again = await call('POST', '/tenants', { token: operator, body: input });
      expect([again.status, again.headers.get('content-type')]).toEqual([409, 'application/problem+json']);
    },
  );

  test('an execution started directly onboards alike, and a taken slug ends it with TenantExists', async () => {
    const states = new SFNClient({
      endpoint: platform().awsUrl,
      region: 'us-east-1',
      credentials: { accessKeyId: 'any', secretAccessKey: 'any' },
    });
    const { stateMachines = [] } = await states.send(new ListStateMachinesCommand({}));
    const stateMachineArn = stateMachines.find(({ name }) => name === 'tenant-onboarding')?.stateMachineArn;
    const valid = JSON.stringify(onboarding());
    const run = async (input = valid) => {
      const { executionArn } = await states.send(new StartExecutionCommand({ stateMachineArn, input }));
      for (;;) {
        const execution = await states.send(new DescribeExecutionCommand({ executionArn }));
        if (execution.status !== 'RUNNING') return execution;
        await delay(ASK_EVERY_MS);
      }
    };
    expect((await run()).status).toBe('SUCCEEDED');
    expect(await run()).toMatchObject({ status: 'FAILED', error: 'TenantExists' });
    expect(await run('null')).toMatchObject({ status: 'FAILED', error: 'InvalidOnboardingInput' });
  });

  test.each([
    [{ slug: 'Has Space' }, '/slug'],
    [{ adminEmail: 'nobody' }, '/adminEmail'],
    [{ tier: 'gold' }, '/tier'],
    [{ colour: 'red' }, '/colour'],
    [{ name: '' }, '/name'],
    [{ dataResidency: 'mars' }, '/dataResidency'],
    [{ slug: 'operator' }, '/slug'],
    [{ complianceRequirements: ['constructor'] }, '/complianceRequirements/0'],
  ])('onboarding with %j is refused at %s and registers nothing', async (fields, pointer) => {
    const input = onboarding(fields);
    const refused = await call('POST', '/tenants', { token: operator, body: input });
    expect([refused.status, refused.body.errors?.[0]?.pointer]).toEqual([400, pointer]);
    const list = await call('GET', `/tenants?q=${encodeURIComponent(input.name || 'nothing')}`, {
      token: operator,
    });
    expect(list.body.items).toEqual([]);
  });

  test('an operator’s POST with an Idempotency-Key is answered once and told again', async () => {
    const input = onboarding();
    const headers = { 'idempotency-key': unique('key') };
    const first = await call('POST', '/tenants', { token: operator, body: input, headers });
    await becomes(`/tenants/${first.body.tenantId}`, 'active');
    const again = await call('POST', '/tenants', { token: operator, body: input, headers });
    expect([again.status, again.body, again.headers.get('idempotency-replayed')]).toEqual([
      202,
      first.body,
      'true',
    ]);
    expect((await call('POST', '/tenants', { token: operator, body: onboarding(), headers })).status).toBe(
      422,
    );
    const users = `/tenants/${first.body.tenantId}/users`;
    const user = {
      body: { email: 'v@x.test', role: 'viewer' },
      headers: { 'idempotency-key': unique('key') },
    };
    const added = await Promise.all([1, 2, 3].map(() => call('POST', users, { token: operator, ...user })));
    expect(added.map(({ status }) => status)).toEqual([201, 201, 201]);
    expect(new Set(added.map(({ body }) => body.userId)).size).toBe(1);
  });

  test('a suspended tenant is refused within seconds, and served again when active', async () => {
    const slug = await onboardOwnTenant();
    const token = await userToken(slug);
    expect((await call('GET', '/employees', { token })).status).toBe(200);
    const suspended = await call('PATCH', `/tenants/${slug}`, {
      token: operator,
      body: { status: 'suspended' },
    });
    expect([suspended.status, suspended.body.status]).toEqual([200, 'suspended']);
    try {
      // Each container learns of it by itself: what one refuses already, another may still serve.
      await expect
        .poll(
          async () => {
            const { status, body } = await call('GET', '/employees', { token });
            return [status, body.type];
          },
          { timeout: 10_000 },
        )
        .toEqual([403, 'urn:strata:problem:tenant-suspended']);
    } finally {
      await call('PATCH', `/tenants/${slug}`, { token: operator, body: { status: 'active' } });
    }
    await expect
      .poll(async () => (await call('GET', '/employees', { token })).status, { timeout: 10_000 })
      .toBe(200);
  });

  test('tenants are listed, filtered and changed, with If-Match', async () => {
    const enterprise = await call('GET', '/tenants?tier=enterprise&q=acme', { token: operator });
    expect(enterprise.body.items.map(({ slug }: { slug: string }) => slug)).toEqual(['acme']);
    const read = await call('GET', '/tenants/globex', { token: operator });
    const etag = String(read.headers.get('etag'));
    const body = { monthlyRevenue: 499.5, features: { beta: true } };
    const changed = await call('PATCH', '/tenants/globex', {
      token: operator,
      body,
      headers: { 'if-match': etag },
    });
    expect(changed.body).toMatchObject(body);
    const stale = await call('PATCH', '/tenants/globex', {
      token: operator,
      body,
      headers: { 'if-match': etag },
    });
    expect(stale.status).toBe(412);
    expect(
      (await call('PATCH', '/tenants/globex', { token: operator, body: { tier: 'starter' } })).status,
    ).toBe(400);
    expect((await call('GET', '/tenants/nobody', { token: operator })).status).toBe(404);
  });

  test('users join, change role and leave; who is no active user is refused', async () => {
    const email = `${unique('u')}@globex.test`;
    const user = await call('POST', '/tenants/globex/users', {
      token: operator,
      body: { email, role: 'viewer' },
    });
    expect(user.status).toBe(201);
    const path = String(user.headers.get('location'));
    const token = await tokenFor('--tenant', 'globex', '--user', email, '--role', 'admin');
    expect((await call('GET', '/employees', { token })).status).toBe(200);
    // The claim says admin, the registry says viewer: the registry decides.
    expect((await call('POST', '/employees', { token, body: newEmployee() })).status).toBe(403);
    expect((await call('PATCH', path, { token: operator, body: { role: 'member' } })).body.role).toBe(
      'member',
    );
    const write = async () => (await call('POST', '/employees', { token, body: newEmployee() })).status;
    await expect.poll(write, { timeout: 10_000 }).toBe(201);
    expect((await call('DELETE', path, { token: operator })).status).toBe(204);
    await expect.poll(write, { timeout: 10_000 }).toBe(403);
  });
});
