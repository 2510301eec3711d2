import { randomUUID } from 'node:crypto';
import { ListExecutionsCommand, SFNClient } from '@aws-sdk/client-sfn';
import type { Context } from 'aws-lambda';
import { afterAll, beforeAll, beforeEach, describe, expect, test, vi } from 'vitest';
import type { ApiEvent } from '../../functions/middleware/api-event.ts';
import { apiEvent } from './api-event.ts';
import { startTwoRegistries, type TwoRegistries } from './two-registries.ts';

let two: TwoRegistries;
beforeAll(async () => {
  two = await startTwoRegistries();
  for (const [region, arnRegion] of [
    ['us', 'us-east-1'],
    ['eu', 'eu-west-1'],
  ] as const) {
    await two.plane.deploy(`workflows-${region}`, workflows, arnRegion);
  }
});
afterAll(() => two?.plane.stop());

const workflows = {
  Resources: {
    Role: { Type: 'AWS::IAM::Role', Properties: { RoleName: 'workflow', Policies: [] } },
    Onboarding: {
      Type: 'AWS::StepFunctions::StateMachine',
      Properties: {
        ...{ StateMachineName: 'tenant-onboarding', RoleArn: { 'Fn::GetAtt': ['Role', 'Arn'] } },
        DefinitionString: JSON.stringify({ StartAt: 'Done', States: { Done: { Type: 'Succeed' } } }),
      },
    },
  },
};

type Handler = (event: ApiEvent, context: Context) => Promise<{ statusCode: number; body?: string }>;
let handler: Handler;
const handlers = new Map<boolean, Handler>();

/** The operator API as it starts in a container of home. */
async function start(options?: { down?: boolean }): Promise<void> {
  const down = options?.down ?? false;
  if (handlers.has(down)) {
    handler = handlers.get(down) as Handler;
    return;
  }
  Object.assign(process.env, two.environment('us', options), {
    ONBOARDING_STATE_MACHINE_ARN: 'arn:aws:states:us-east-1:000000000000:stateMachine:tenant-onboarding',
  });
  vi.resetModules();
  handler = (await import('../../functions/api/tenants/handler.ts')).handler as unknown as Handler;
  handlers.set(down, handler);
}
beforeEach(() => start());

async function call(
  routeKey: string,
  parts: { path?: Record<string, string>; query?: Record<string, string>; body?: object } = {},
) {
  const claims = { sub: 'operator', scope: 'strata/operator', email: 'operator@strata.test' };
  const answer = await handler(
    apiEvent({ routeKey, claims, pathParameters: parts.path, query: parts.query, body: parts.body }),
    {} as Context,
  );
  return { status: answer.statusCode, body: JSON.parse(answer.body ?? 'null') };
}

async function addTenant(
  key: 'us' | 'eu',
  {
    status = 'active',
    at = '2026-01-01T00:00:00Z',
    id = randomUUID() as string,
    region = key as string,
  } = {},
) {
  await two[key].query(
    `INSERT INTO tenants (tenant_id, tenant_name, tenant_slug, isolation_model, subscription_tier, status,
                          data_residency, home_region, created_at)
     VALUES (:id::uuid, :id, :slug, 'shared', 'starter', :status, :region, :region, :at::timestamptz)`,
    { id, slug: slugOf(id), status, region, at },
  );
  return id;
}
const slugOf = (id: string) => `t-${id.slice(0, 13)}`;

/** A tenant of the other region, as home and that region know it. */
async function addThere(at?: string, id: string = randomUUID()) {
  await addTenant('us', { id, status: 'elsewhere', region: 'eu' });
  return addTenant('eu', { id, ...(at ? { at } : {}) });
}

async function addMove(key: 'us' | 'eu', tenantId: string, at: string): Promise<string> {
  const moveId = randomUUID();
  await two[key].query(
    `INSERT INTO tenant_moves (move_id, tenant_id, status, phase, input, plan, started_by, started_at, finished_at)
     VALUES (:moveId::uuid, :tenantId::uuid, 'succeeded', 'done', '{}', '[]', 'test', :at::timestamptz, :at::timestamptz)`,
    { moveId, tenantId, at },
  );
  return moveId;
}

describe('the tenants of two regions', () => {
  test('are one list by creation: paging tells each once, and none that is elsewhere or arriving', async () => {
    const ids: string[] = [];
    for (let n = 0; n < 8; n++) {
      // Two of each moment, one in each region: ids alone order them.
      const at = `2025-01-0${1 + Math.floor(n / 2)}T00:00:00.00000${n % 4}Z`;
      ids.push(n % 2 === 0 ? await addTenant('us', { at }) : await addThere(at));
    }
    const coming = await addTenant('us', { at: '2025-01-02T12:00:00Z' });
    await addTenant('eu', { id: coming, status: 'arriving', at: '2025-01-02T12:00:00Z' });
    ids.push(coming);
    for (const limit of ['1', '2', '3', '5', '200']) {
      const seen: string[] = [];
      let cursor: string | undefined;
      do {
        const { body } = await call('GET /tenants', { query: { limit, ...(cursor ? { cursor } : {}) } });
        seen.push(...body.items.map(({ tenantId }: { tenantId: string }) => tenantId));
        cursor = body.nextCursor ?? undefined;
      } while (cursor);
      expect(new Set(seen).size).toBe(seen.length);
      expect(seen.filter((id) => ids.includes(id)).sort()).toEqual([...ids].sort());
    }
    const { body } = await call('GET /tenants', { query: { limit: '200' } });
    const times = body.items.map(({ createdAt }: { createdAt: string }) => createdAt);
    expect(times).toEqual([...times].sort());
  });

  test('tell one that is just being handed over once, where it is now', async () => {
    const id = await addTenant('us', { at: '2025-02-01T00:00:00Z' });
    await addTenant('eu', { id, at: '2025-02-01T00:00:00Z' });
    for (const [key, epoch] of [
      ['us', 1],
      ['eu', 2],
    ] as const) {
      await two[key].query(
        `INSERT INTO tenant_database_routing (tenant_id, database_host, database_port, database_name, isolation_model,
                                              epoch, region)
         VALUES (:id::uuid, 'host', 5432, 'strata', 'dedicated', :epoch::bigint, :key)`,
        { id, epoch, key },
      );
    }
    const { body } = await call('GET /tenants', { query: { limit: '200' } });
    const found = body.items.filter(({ tenantId }: { tenantId: string }) => tenantId === id);
    expect(found).toMatchObject([{ region: 'eu', epoch: 2 }]);
  });

  test('of one residency come from that region, also while another one is down', async () => {
    const id = await addThere();
    await start({ down: true });
    const { status, body } = await call('GET /tenants', { query: { dataResidency: 'eu', limit: '200' } });
    expect(status).toBe(200);
    expect(body.items).toContainEqual(expect.objectContaining({ tenantId: id, region: 'eu' }));
    expect(new Set(body.items.map(({ region }: { region: string }) => region))).toEqual(new Set(['eu']));
  });

  test('are no list with a gap: a region that is down is a 503 that names it', async () => {
    await start({ down: true });
    expect(await call('GET /tenants')).toMatchObject({
      status: 503,
      body: { type: 'urn:strata:problem:region-unavailable', detail: expect.stringContaining('"apac"') },
    });
    const lost = await addTenant('us', { status: 'elsewhere', region: 'apac' });
    expect(await call('GET /tenants/{tenantId}', { path: { tenantId: lost } })).toMatchObject({
      status: 503,
    });
    // Who is at home does not notice.
    const here = await addTenant('us');
    expect(await call('GET /tenants/{tenantId}', { path: { tenantId: here } })).toMatchObject({
      status: 200,
    });
  });
});

describe('a tenant of another region', () => {
  test.each(['id', 'slug'])('is read and changed there by its %s, and tells where its API is', async (by) => {
    const id = await addThere();
    const path = { tenantId: by === 'id' ? id : slugOf(id) };
    expect(await call('GET /tenants/{tenantId}', { path })).toMatchObject({
      status: 200,
      body: { tenantId: id, status: 'active', region: 'eu', apiUrl: 'https://eu.api.test' },
    });
    const body = { name: `Renamed ${id}` };
    expect((await call('PATCH /tenants/{tenantId}', { path, body })).status).toBe(200);
    const names = 'SELECT tenant_name AS name FROM tenants WHERE tenant_id = :id::uuid';
    expect(await two.eu.query(names, { id })).toEqual([{ name: `Renamed ${id}` }]);
    expect(await two.us.query(names, { id })).toEqual([{ name: id }]);
    const user = { email: 'new@tenant.test', role: 'member' };
    expect((await call('POST /tenants/{tenantId}/users', { path, body: user })).status).toBe(201);
    for (const [key, users] of [
      ['us', 0],
      ['eu', 1],
    ] as const) {
      expect(
        await two[key].query('SELECT user_id FROM tenant_users WHERE tenant_id = :id::uuid', { id }),
      ).toHaveLength(users);
    }
  });

  test('is found where it is while it arrives at home, and where it went on to', async () => {
    const back = await addTenant('us', { status: 'arriving' });
    await addTenant('eu', { id: back });
    expect((await call('GET /tenants/{tenantId}', { path: { tenantId: back } })).body.region).toBe('eu');
  });

  test('is not there where a registration died before it', async () => {
    const id = await addTenant('us', { status: 'elsewhere', region: 'eu' });
    expect((await call('GET /tenants/{tenantId}', { path: { tenantId: id } })).status).toBe(404);
    const here = await addTenant('us', { status: 'elsewhere', region: 'us' });
    expect((await call('GET /tenants/{tenantId}', { path: { tenantId: here } })).status).toBe(404);
    expect((await call('GET /tenants/{tenantId}', { path: { tenantId: randomUUID() } })).status).toBe(404);
  });

  test('has the moves of all regions in one list, and each is read wherever it is on record', async () => {
    const id = await addThere();
    const moves = [
      await addMove('us', id, '2026-01-01T00:00:00Z'),
      await addMove('eu', id, '2026-01-02T00:00:00Z'),
      await addMove('us', id, '2026-01-03T00:00:00Z'),
    ];
    const path = { tenantId: id };
    for (const limit of ['1', '2', '3', '4']) {
      const seen: string[] = [];
      let cursor: string | undefined;
      do {
        const query = { limit, ...(cursor ? { cursor } : {}) };
        const { body } = await call('GET /tenants/{tenantId}/moves', { path, query });
        seen.push(...body.items.map(({ moveId }: { moveId: string }) => moveId));
        cursor = body.nextCursor ?? undefined;
      } while (cursor);
      expect(seen).toEqual(moves);
    }
    for (const moveId of moves) {
      const read = await call('GET /tenants/{tenantId}/moves/{moveId}', { path: { ...path, moveId } });
      expect(read).toMatchObject({ status: 200, body: { moveId } });
      const abort = await call('POST /tenants/{tenantId}/moves/{moveId}/abort', {
        path: { ...path, moveId },
      });
      expect(abort).toMatchObject({ status: 409, body: { detail: 'The move has ended already.' } });
    }
    const unknown = { path: { ...path, moveId: randomUUID() } };
    expect((await call('GET /tenants/{tenantId}/moves/{moveId}', unknown)).status).toBe(404);
  });
});

test('POST /tenants registers and starts the onboarding in the region of the residency', async () => {
  const slug = `posted-${randomUUID().slice(0, 8)}`;
  const body = { name: slug, slug, adminEmail: 'admin@posted.test', dataResidency: 'eu' };
  const posted = await call('POST /tenants', { body });
  expect(posted).toMatchObject({ status: 202, body: { region: 'eu', apiUrl: 'https://eu.api.test' } });
  const path = { tenantId: posted.body.tenantId };
  expect((await call('GET /tenants/{tenantId}', { path })).body).toMatchObject({
    slug,
    status: 'provisioning',
  });
  const started = async (region: string) => {
    const { executions } = await new SFNClient({ region }).send(
      new ListExecutionsCommand({
        stateMachineArn: `arn:aws:states:${region}:000000000000:stateMachine:tenant-onboarding`,
      }),
    );
    return executions?.filter(({ name }) => name?.startsWith(slug)).length;
  };
  expect([await started('us-east-1'), await started('eu-west-1')]).toEqual([0, 1]);
  await start({ down: true });
  const lost = { ...body, slug: `${slug}-2`, dataResidency: 'apac' };
  expect(await call('POST /tenants', { body: lost })).toMatchObject({
    status: 503,
    body: { type: 'urn:strata:problem:region-unavailable' },
  });
  expect(await call('POST /tenants', { body: { ...body, dataResidency: 'mars' } })).toMatchObject({
    status: 400,
    body: { errors: [{ pointer: '/dataResidency' }] },
  });
});
