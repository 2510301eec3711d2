import { describe, expect, test } from 'vitest';
import { MovingTenant } from './moving-tenant.ts';
import { call, operatorToken, userToken } from './running-platform.ts';

describe('a dry run', () => {
  test('tells plan, sizes, an estimate and what forbids the move, and touches nothing', async () => {
    const tenant = await MovingTenant.create();
    const before = await tenant.tenant();
    const { status, body } = await tenant.ask({ targetTier: 'enterprise', dryRun: true });
    expect(status).toBe(200);
    expect(body).toMatchObject({
      dryRun: true,
      plan: [{ kind: 'reshape' }, { kind: 'relocate' }],
      sizes: { rows: expect.any(Number), bytes: expect.any(Number) },
      estimate: { seconds: expect.any(Number), writePauseMs: expect.any(Number) },
      forbidden: [],
    });
    expect(await tenant.tenant()).toEqual(before);
    const { body: moves } = await call('GET', `/tenants/${tenant.slug}/moves`, {
      token: await operatorToken(),
    });
    expect(moves.items).toEqual([]);
  });

  test('names the rule where compliance forbids the target', async () => {
    const tenant = await MovingTenant.create({ tier: 'business' });
    const token = await operatorToken();
    await call('PATCH', `/tenants/${tenant.slug}`, { token, body: { complianceRequirements: ['soc2'] } });
    const { body } = await tenant.ask({ targetTier: 'starter', dryRun: true });
    expect(body.forbidden).toEqual([{ rule: 'compliance', detail: expect.any(String) }]);
    const refused = await tenant.ask({ targetTier: 'starter', force: true });
    expect(refused.status).toBe(409);
    expect(await tenant.tenant()).toMatchObject({ tier: 'business', isolationModel: 'schema' });
  });
});

test('a second move of a moving tenant is refused, and the first one ends well', async () => {
  const tenant = await MovingTenant.create();
  const first = await tenant.ask({ targetTier: 'business' });
  expect(first.status).toBe(202);
  const second = await tenant.ask({ targetTier: 'enterprise' });
  expect(second.status).toBe(409);
  expect(second.body.type).toMatch(/^urn:strata:problem:/);
  const move = await tenant.ended(String(first.headers.get('location')));
  expect(move).toMatchObject({ status: 'succeeded' });
});

test('aborted before its commit point a move leaves the tenant as it was, and the next one succeeds', async () => {
  const tenant = await MovingTenant.create();
  const load = tenant.load();
  load.start();
  await load.written(10);
  const { headers } = await tenant.ask({ targetTier: 'business' });
  const location = String(headers.get('location'));
  const aborted = await call('POST', `${location}/abort`, { token: await operatorToken() });
  expect(aborted.status).toBe(202);
  const move = await tenant.ended(location);
  expect(move.status).toBe('aborted');
  expect(await tenant.tenant()).toMatchObject({ tier: 'starter', isolationModel: 'shared' });
  expect(await tenant.move({ targetTier: 'business' })).toMatchObject({ status: 'succeeded' });
  await load.stop();
  expect(load.violations).toEqual([]);
  expect(await load.verify()).toEqual([]);
});

describe('what is not a move', () => {
  const refusals: [string, object, number][] = [
    ['no target', {}, 400],
    ['two targets', { targetTier: 'business', targetCell: 'us-1' }, 400],
    ['an unknown tier', { targetTier: 'platinum' }, 400],
    ['an unknown field', { targetTier: 'business', urgency: 'high' }, 400],
    ['a cell that does not exist', { targetCell: 'us-99' }, 400],
    ['a residency that is not served', { targetResidency: 'mars' }, 400],
    ['where it is already', { targetTier: 'starter' }, 409],
  ];
  test.each(refusals)('%s', async (_what, body, expected) => {
    const token = await operatorToken();
    const answer = await call('POST', '/tenants/initech/moves', { token, body });
    expect(answer.status, JSON.stringify(answer.body)).toBe(expected);
    expect(answer.body).toMatchObject({
      status: expected,
      type: expect.stringMatching(/^urn:strata:problem:/),
    });
  });

  test('asked by a tenant', async () => {
    const token = await userToken('initech');
    const answer = await call('POST', '/tenants/initech/moves', { token, body: { targetTier: 'business' } });
    expect(answer.status).toBe(403);
  });

  test('of a tenant or a move that does not exist', async () => {
    const token = await operatorToken();
    const body = { targetTier: 'business' };
    expect((await call('POST', '/tenants/nobody/moves', { token, body })).status).toBe(404);
    const missing = '/tenants/initech/moves/00000000-0000-4000-8000-000000000000';
    expect((await call('GET', missing, { token })).status).toBe(404);
    expect((await call('POST', `${missing}/abort`, { token })).status).toBe(404);
  });
});
