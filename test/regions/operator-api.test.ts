import { createHash, randomUUID } from 'node:crypto';
import {
  DescribeExecutionCommand,
  ListExecutionsCommand,
  SFNClient,
  StopExecutionCommand,
} from '@aws-sdk/client-sfn';
import type { Context } from 'aws-lambda';
import { afterAll, beforeAll, beforeEach, describe, expect, test, vi } from 'vitest';
import type { ApiEvent } from '../../functions/http/api-event.ts';
import { writeCostBasis } from '../../functions/registry/price-tables.ts';
import { config } from '../../infra/config.ts';
import { costBasisOf } from '../../infra/cost-basis.ts';
import { loadConfig } from '../../infra/load-config.ts';
import { FULL_RUN, sampled } from '../full-run.ts';
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
    Onboarding: workflow('tenant-onboarding', { Type: 'Wait', Seconds: 1_000_000, End: true }),
    Move: workflow('tenant-move', { Type: 'Succeed' }),
    Backup: workflow('tenant-backup', { Type: 'Wait', Seconds: 1_000_000, End: true }),
    Export: workflow('tenant-export', { Type: 'Wait', Seconds: 1_000_000, End: true }),
  },
};

/** A workflow of one state, which works on no tenant. */
function workflow(name: string, state: object) {
  return {
    Type: 'AWS::StepFunctions::StateMachine',
    Properties: {
      StateMachineName: name,
      RoleArn: { 'Fn::GetAtt': ['Role', 'Arn'] },
      DefinitionString: JSON.stringify({ StartAt: 'Only', States: { Only: state } }),
    },
  };
}

const stateMachine = (name: string, region = 'us-east-1') =>
  `arn:aws:states:${region}:000000000000:stateMachine:${name}`;

/** Executions of a workflow whose names begin so. */
async function executionsOf(workflow: string, prefix: string, region = 'us-east-1') {
  const { executions = [] } = await new SFNClient({ region }).send(
    new ListExecutionsCommand({ stateMachineArn: stateMachine(workflow, region) }),
  );
  return executions.filter(({ name }) => name?.startsWith(prefix));
}

type Handler = (
  event: ApiEvent,
  context: Context,
) => Promise<{ statusCode: number; body?: string; headers?: Record<string, string> }>;
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
    ONBOARDING_STATE_MACHINE_ARN: stateMachine('tenant-onboarding'),
    MOVE_STATE_MACHINE_ARN: stateMachine('tenant-move'),
    BACKUP_STATE_MACHINE_ARN: stateMachine('tenant-backup'),
    EXPORT_STATE_MACHINE_ARN: stateMachine('tenant-export'),
    MOVE_SURVEY_FUNCTION: 'strata-us-move-survey',
  });
  vi.resetModules();
  handler = (await import('../../functions/api/tenants/handler.ts')).handler as unknown as Handler;
  handlers.set(down, handler);
}
beforeEach(() => start());

async function call(
  routeKey: string,
  parts: {
    path?: Record<string, string>;
    query?: Record<string, string>;
    body?: object;
    key?: string;
  } = {},
) {
  const claims = { sub: 'operator', scope: 'strata/operator', email: 'operator@strata.test' };
  const [, template = ''] = routeKey.split(' ');
  const rawPath = template.replaceAll(/\{(\w+)\}/g, (_, name: string) => parts.path?.[name] ?? '');
  const headers = parts.key ? { 'idempotency-key': parts.key } : {};
  const { path: pathParameters, query, body } = parts;
  const event = apiEvent({ routeKey, rawPath, headers, claims, pathParameters, query, body });
  const answer = await handler(event, {} as Context);
  const replayed = answer.headers?.['idempotency-replayed'] === 'true';
  return { status: answer.statusCode, text: answer.body, body: JSON.parse(answer.body ?? 'null'), replayed };
}

const MODELS = { starter: 'shared', business: 'schema', enterprise: 'dedicated' } as const;

async function addTenant(
  key: 'us' | 'eu',
  {
    status = 'active',
    at = '2026-01-01T00:00:00Z',
    id = randomUUID() as string,
    region = key as string,
    tier = 'starter' as keyof typeof MODELS,
  } = {},
) {
  await two[key].query(
    `INSERT INTO tenants (tenant_id, tenant_name, tenant_slug, isolation_model, subscription_tier, status,
                          data_residency, home_region, created_at)
     VALUES (:id::uuid, :id, :slug, :model, :tier, :status, :region, :region, :at::timestamptz)`,
    { id, slug: slugOf(id), status, region, at, tier, model: MODELS[tier] },
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

async function addBackup(key: 'us' | 'eu', tenantId: string, day: number): Promise<string> {
  const backupId = randomUUID();
  await two[key].query(
    `INSERT INTO tenant_backups (backup_id, tenant_id, region, tier, isolation_model, epoch, schema_version, status,
                                 prefix, started_by, started_at, finished_at, expires_at)
     VALUES (:backupId::uuid, :tenantId::uuid, :key, 'starter', 'shared', 1, 1, 'succeeded', 'none/', 'test',
             '2026-01-01'::timestamptz + :day::int * interval '1 day', now(), now() + interval '1 day')`,
    { backupId, tenantId, key, day },
  );
  return backupId;
}

async function addExport(key: 'us' | 'eu', tenantId: string, day: number): Promise<string> {
  const exportId = randomUUID();
  await two[key].query(
    `INSERT INTO tenant_exports (export_id, tenant_id, region, status, prefix, bucket, object_key, rows, bytes, sha256,
                                 started_by, started_at, snapshot_at, finished_at, expires_at)
     VALUES (:exportId::uuid, :tenantId::uuid, :key, 'succeeded', 'none/', 'archives', 'none/tenant.tar.gz', 1, 1, '',
             'test', '2026-01-01'::timestamptz + :day::int * interval '1 day', now(), now(),
             now() + interval '1 day')`,
    { exportId, tenantId, key, day },
  );
  return exportId;
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
    for (const limit of sampled(['2', '200'], ['1', '2', '3', '5', '200'])) {
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

  test('has the backups of all regions in one list, each with its region, and each is read wherever it is', async () => {
    const id = await addThere();
    const backups = [
      await addBackup('us', id, 1),
      await addBackup('us', id, 2),
      await addBackup('eu', id, 3),
    ];
    const path = { tenantId: id };
    for (const limit of ['1', '2', '3', '4']) {
      const seen: [backupId: string, region: string][] = [];
      let cursor: string | undefined;
      do {
        const query = { limit, ...(cursor ? { cursor } : {}) };
        const { body } = await call('GET /tenants/{tenantId}/backups', { path, query });
        for (const { backupId, region } of body.items) seen.push([backupId, region]);
        cursor = body.nextCursor ?? undefined;
      } while (cursor);
      expect(seen).toEqual(backups.map((backupId, index) => [backupId, index < 2 ? 'us' : 'eu']));
    }
    for (const backupId of [...backups, randomUUID()]) {
      const read = await call('GET /tenants/{tenantId}/backups/{backupId}', { path: { ...path, backupId } });
      expect(read.status).toBe(backups.includes(backupId) ? 200 : 404);
    }
  });
});

test('a tenant of another region has the exports of all regions, each with a link to the region that has it', async () => {
  const id = await addThere();
  const exports = [await addExport('us', id, 1), await addExport('eu', id, 2), await addExport('us', id, 3)];
  const { body } = await call('GET /tenants/{tenantId}/exports', {
    path: { tenantId: id },
    query: { limit: '3' },
  });
  expect(body.items.map(({ exportId }: { exportId: string }) => exportId)).toEqual(exports);
  for (const [index, exportId] of exports.entries()) {
    const read = await call('GET /tenants/{tenantId}/exports/{exportId}', {
      path: { tenantId: id, exportId },
    });
    const awsRegion = index === 1 ? 'eu-west-1' : 'us-east-1';
    expect([read.status, new URL(read.body.url).searchParams.get('X-Amz-Credential')]).toEqual([
      200,
      expect.stringContaining(`/${awsRegion}/s3/`),
    ]);
  }
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
  const started = async (region: string) => (await executionsOf('tenant-onboarding', slug, region)).length;
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

/** As onboarding and the first metering leave a tenant. */
async function activate(key: 'us' | 'eu', id: string): Promise<void> {
  await two[key].query("UPDATE tenants SET status = 'active' WHERE tenant_id = :id::uuid", { id });
  await two[key].query(
    `INSERT INTO usage_samples (tenant_id, sampled_on, active_users, active_employees, storage_bytes)
     VALUES (:id::uuid, current_date, 1, 1, 1)`,
    { id },
  );
}

test('a repeated request is known with its members in another order, and by the hash that the version before has kept', async () => {
  const slug = `again-${randomUUID().slice(0, 8)}`;
  const body = { slug, name: slug, adminEmail: 'admin@again.test', tier: 'business' };
  const first = await call('POST /tenants', { body, key: slug });
  expect([first.status, first.replayed]).toEqual([202, false]);
  const reordered = Object.fromEntries(Object.entries(body).reverse());
  const again = await call('POST /tenants', { body: reordered, key: slug });
  expect([again.status, again.text, again.replayed]).toEqual([202, first.text, true]);
  const other = { ...reordered, tier: 'starter' };
  expect((await call('POST /tenants', { body: other, key: slug })).status).toBe(422);

  const former = createHash('sha256')
    .update(JSON.stringify(['/tenants', body]))
    .digest('hex');
  await two.us.query(
    'UPDATE control_idempotency_keys SET request_hash = :former WHERE idempotency_key = :slug',
    { former, slug },
  );
  const same = await call('POST /tenants', { body, key: slug });
  expect([same.status, same.text, same.replayed]).toEqual([202, first.text, true]);
});

const fiveTimes = <Result>(work: () => Promise<Result>) => Promise.all([1, 2, 3, 4, 5].map(work));

describe.each(['us', 'eu'] as const)(
  'five requests at once with one Idempotency-Key, in region %s',
  (key) => {
    const awsRegion = { us: 'us-east-1', eu: 'eu-west-1' }[key];
    const onboarding = () => {
      const slug = `once-${randomUUID().slice(0, 8)}`;
      return { name: slug, slug, adminEmail: 'admin@once.test', dataResidency: key };
    };

    test('onboard one tenant by one execution, with five equal answers', async () => {
      const body = onboarding();
      const answers = await fiveTimes(() => call('POST /tenants', { body, key: body.slug }));
      expect(answers.map(({ status }) => status)).toEqual([202, 202, 202, 202, 202]);
      expect(new Set(answers.map(({ text }) => text)).size).toBe(1);
      expect(answers.filter(({ replayed }) => !replayed)).toHaveLength(1);
      expect(await executionsOf('tenant-onboarding', body.slug, awsRegion)).toHaveLength(1);
      const other = await call('POST /tenants', {
        body: { ...body, dataResidency: 'us', name: 'Other' },
        key: body.slug,
      });
      expect(other.status).toBe(422);
    });

    test('without a key: one tenant and one execution as well', async () => {
      const body = onboarding();
      const answers = await fiveTimes(() => call('POST /tenants', { body }));
      expect(answers.map(({ status }) => status)).toEqual([202, 202, 202, 202, 202]);
      expect(new Set(answers.map((answer) => answer.body.tenantId)).size).toBe(1);
      expect(await executionsOf('tenant-onboarding', body.slug, awsRegion)).toHaveLength(1);
    });

    test('move a tenant once, with five equal answers', async () => {
      const { body: tenant } = await call('POST /tenants', { body: onboarding() });
      await activate(key, tenant.tenantId);
      const path = { tenantId: tenant.tenantId as string };
      const ask = (targetTier: string) =>
        call('POST /tenants/{tenantId}/moves', { path, body: { targetTier }, key: tenant.slug });
      const answers = await fiveTimes(() => ask('business'));
      expect(answers.map(({ status }) => status)).toEqual([202, 202, 202, 202, 202]);
      expect(new Set(answers.map(({ text }) => text)).size).toBe(1);
      expect(answers.filter(({ replayed }) => !replayed)).toHaveLength(1);
      const moveId = answers[0]?.body.moveId;
      const { body: moves } = await call('GET /tenants/{tenantId}/moves', { path });
      expect(moves.items.map((move: { moveId: string }) => move.moveId)).toEqual([moveId]);
      expect(await executionsOf('tenant-move', `move-${moveId}`, awsRegion)).toHaveLength(1);
      expect((await ask('enterprise')).status).toBe(422);
    });

    test('back a tenant up once, in its region, with five equal answers', async () => {
      const { body: tenant } = await call('POST /tenants', { body: onboarding() });
      await activate(key, tenant.tenantId);
      const path = { tenantId: tenant.tenantId as string };
      const answers = await fiveTimes(() =>
        call('POST /tenants/{tenantId}/backups', { path, key: tenant.slug }),
      );
      expect(answers.map(({ status }) => status)).toEqual([202, 202, 202, 202, 202]);
      expect(new Set(answers.map(({ text }) => text)).size).toBe(1);
      expect(answers.filter(({ replayed }) => !replayed)).toHaveLength(1);
      const { backupId, region } = answers[0]!.body;
      expect(region).toBe(key);
      expect(await executionsOf('tenant-backup', `backup-${backupId}`, awsRegion)).toHaveLength(1);
    });

    test('export a tenant once, in its region, with five equal answers', async () => {
      const { body: tenant } = await call('POST /tenants', { body: onboarding() });
      await activate(key, tenant.tenantId);
      const path = { tenantId: tenant.tenantId as string };
      const answers = await fiveTimes(() =>
        call('POST /tenants/{tenantId}/exports', { path, key: tenant.slug }),
      );
      expect(answers.map(({ status }) => status)).toEqual([202, 202, 202, 202, 202]);
      expect(new Set(answers.map(({ text }) => text)).size).toBe(1);
      expect(answers.filter(({ replayed }) => !replayed)).toHaveLength(1);
      const { exportId, region } = answers[0]!.body;
      expect(region).toBe(key);
      expect(await executionsOf('tenant-export', `export-${exportId}`, awsRegion)).toHaveLength(1);
    });
  },
);

describe('a request whose execution an equal request has started, and which has ended since', () => {
  /** What it calls to start the execution, with the start and the end of that other one before. */
  const startAfter = (workflow: string) => async (name: string, input: object) => {
    const { startExecution } = await import('../../functions/aws/executions.ts');
    const stateMachineArn = stateMachine(workflow);
    await startExecution(stateMachineArn, name, input);
    const isOver = async () => (await executionsOf(workflow, name))[0]?.status !== 'RUNNING';
    await vi.waitUntil(isOver, { timeout: 20_000, interval: 20 });
    await startExecution(stateMachineArn, name, input);
  };

  test('has succeeded, and does not end the work', async () => {
    const { requestMove } = await import('../../functions/moves/request-move.ts');
    const slug = `raced-${randomUUID().slice(0, 8)}`;
    const { body: tenant } = await call('POST /tenants', {
      body: { name: slug, slug, adminEmail: 'admin@raced.test' },
    });
    const tenantId = tenant.tenantId as string;
    await activate('us', tenantId);
    const asked = { tenantId, target: { tier: 'business' }, force: false } as const;
    const moveId = await requestMove(two.us, asked, {
      actor: { id: 'operator', type: 'operator' },
      startedBy: 'operator',
      stateMachineArn: stateMachine('tenant-move'),
      start: startAfter('tenant-move'),
    });
    const path = { tenantId, moveId };
    const { body } = await call('GET /tenants/{tenantId}/moves/{moveId}', { path });
    expect(body).toMatchObject({ status: 'running', reason: null });
    expect(await executionsOf('tenant-move', `move-${moveId}`)).toHaveLength(1);
  });
});

test.runIf(FULL_RUN)(
  'a request that waits too long for a lock is 503, and succeeds when it is repeated',
  async () => {
    const slug = `waited-${randomUUID().slice(0, 8)}`;
    const { body: tenant } = await call('POST /tenants', {
      body: { name: slug, slug, adminEmail: 'admin@waited.test' },
    });
    await activate('us', tenant.tenantId);
    const path = { tenantId: tenant.tenantId as string };
    const ask = () => call('POST /tenants/{tenantId}/backups', { path, key: slug });
    await two.us.transaction(async (transaction) => {
      await transaction.query('SELECT status FROM tenants WHERE tenant_id = :id::uuid FOR UPDATE', {
        id: tenant.tenantId,
      });
      expect(await ask()).toMatchObject({ status: 503, body: { type: 'urn:strata:problem:unavailable' } });
    });
    expect(await ask()).toMatchObject({ status: 202, replayed: false });
  },
);

test('a tenant whose execution is dead is taken up by the same request, with a new execution', async () => {
  const slug = `dead-${randomUUID().slice(0, 8)}`;
  const body = { name: slug, slug, adminEmail: 'admin@dead.test' };
  const { executionArn } = (await call('POST /tenants', { body })).body;
  // While it runs, the tenant is left to it.
  expect((await call('POST /tenants', { body })).body.executionArn).toBe(executionArn);
  await new SFNClient({ region: 'us-east-1' }).send(new StopExecutionCommand({ executionArn }));
  const { status, body: tenant } = await call('POST /tenants', { body });
  expect([status, tenant.status]).toEqual([202, 'provisioning']);
  expect(tenant.executionArn).not.toBe(executionArn);
  const running = await executionsOf('tenant-onboarding', slug);
  expect(running.map((one) => [one.executionArn, one.status])).toEqual([
    [tenant.executionArn, 'RUNNING'],
    [executionArn, 'ABORTED'],
  ]);
});

describe('a request whose workflow cannot be started', () => {
  const slugged = () => {
    const slug = `unstarted-${randomUUID().slice(0, 8)}`;
    return { name: slug, slug, adminEmail: 'admin@unstarted.test' };
  };

  test('leaves an onboarding failed with a reason; its repetition with the same key succeeds', async () => {
    const body = slugged();
    const post = () => call('POST /tenants', { body, key: body.slug });
    process.env.ONBOARDING_STATE_MACHINE_ARN = stateMachine('nowhere');
    try {
      expect(await post()).toMatchObject({ status: 503, body: { type: 'urn:strata:problem:unavailable' } });
    } finally {
      process.env.ONBOARDING_STATE_MACHINE_ARN = stateMachine('tenant-onboarding');
    }
    const path = { tenantId: body.slug };
    expect((await call('GET /tenants/{tenantId}', { path })).body).toMatchObject({
      status: 'failed',
      reason: 'The onboarding could not be started. Send the same request again.',
    });
    expect(await post()).toMatchObject({ status: 202, replayed: false, body: { status: 'provisioning' } });
    expect(await executionsOf('tenant-onboarding', body.slug)).toHaveLength(1);
  });

  test('leaves a move failed; its repetition with the same key moves', async () => {
    const { body: tenant } = await call('POST /tenants', { body: slugged() });
    await activate('us', tenant.tenantId);
    const path = { tenantId: tenant.tenantId as string };
    const ask = () =>
      call('POST /tenants/{tenantId}/moves', { path, body: { targetTier: 'business' }, key: tenant.slug });
    process.env.MOVE_STATE_MACHINE_ARN = stateMachine('nowhere');
    try {
      expect((await ask()).status).toBe(503);
    } finally {
      process.env.MOVE_STATE_MACHINE_ARN = stateMachine('tenant-move');
    }
    expect(await ask()).toMatchObject({ status: 202, replayed: false, body: { status: 'running' } });
  });

  test('leaves an export failed; its repetition with the same key exports', async () => {
    const { body: tenant } = await call('POST /tenants', { body: slugged() });
    await activate('us', tenant.tenantId);
    const path = { tenantId: tenant.tenantId as string };
    const ask = () => call('POST /tenants/{tenantId}/exports', { path, key: tenant.slug });
    process.env.EXPORT_STATE_MACHINE_ARN = stateMachine('nowhere');
    try {
      expect((await ask()).status).toBe(503);
    } finally {
      process.env.EXPORT_STATE_MACHINE_ARN = stateMachine('tenant-export');
    }
    expect(await ask()).toMatchObject({ status: 202, replayed: false, body: { status: 'running' } });
    const { body } = await call('GET /tenants/{tenantId}/exports', { path });
    expect(body.items.map(({ status }: { status: string }) => status)).toEqual(['failed', 'running']);
  });

  test('leaves a backup failed; its repetition with the same key backs up', async () => {
    const { body: tenant } = await call('POST /tenants', { body: slugged() });
    await activate('us', tenant.tenantId);
    const path = { tenantId: tenant.tenantId as string };
    const ask = () => call('POST /tenants/{tenantId}/backups', { path, key: tenant.slug });
    process.env.BACKUP_STATE_MACHINE_ARN = stateMachine('nowhere');
    try {
      expect(await ask()).toMatchObject({ status: 503, body: { type: 'urn:strata:problem:unavailable' } });
    } finally {
      process.env.BACKUP_STATE_MACHINE_ARN = stateMachine('tenant-backup');
    }
    expect(await ask()).toMatchObject({ status: 202, replayed: false, body: { status: 'running' } });
    const { body } = await call('GET /tenants/{tenantId}/backups', { path });
    expect(body.items).toMatchObject([
      { status: 'failed', reason: 'The backup could not be started. Try again later.' },
      { status: 'running' },
    ]);
  });

  test('nor is a move asked for while a tenant that was never metered cannot be measured', async () => {
    const { body: tenant } = await call('POST /tenants', { body: slugged() });
    await activate('us', tenant.tenantId);
    await two.us.query('DELETE FROM usage_samples WHERE tenant_id = :id::uuid', { id: tenant.tenantId });
    const path = { tenantId: tenant.tenantId as string };
    for (const dryRun of [false, true]) {
      const body = { targetTier: 'business', dryRun };
      expect(await call('POST /tenants/{tenantId}/moves', { path, body })).toMatchObject({
        status: 503,
        body: { detail: 'The data of the tenant could not be measured. Try again later.' },
      });
    }
    expect((await call('GET /tenants/{tenantId}/moves', { path })).body.items).toEqual([]);
  });

  test('is none for a name with 300 KB of blanks: the workflow gets the validated input', async () => {
    const body = slugged();
    const padded = { ...body, name: `${' '.repeat(300_000)}${body.name}` };
    expect(await call('POST /tenants', { body: padded })).toMatchObject({
      status: 202,
      body: { name: body.name },
    });
    const [execution] = await executionsOf('tenant-onboarding', body.slug);
    const { executionArn } = execution as { executionArn: string };
    const { input } = await new SFNClient({ region: 'us-east-1' }).send(
      new DescribeExecutionCommand({ executionArn }),
    );
    expect(JSON.parse(input ?? '')).toMatchObject({ name: body.name, slug: body.slug });
  });
});

describe('new compliance requirements of a tenant', () => {
  const change = (tenantId: string, body: object) =>
    call('PATCH /tenants/{tenantId}', { path: { tenantId }, body });
  const offersOf = async (tenantId: string) =>
    (await call('GET /tenants/{tenantId}/offers', { path: { tenantId } })).body.items;

  test.each([
    ['starter', ['soc2'], 'business'],
    ['starter', ['gdpr', 'hipaa'], 'enterprise'],
    ['business', ['pci'], 'enterprise'],
  ] as const)(
    'that a %s place does not satisfy (%j) are refused; forced, they make an offer',
    async (tier, required, offered) => {
      const id = await addTenant('us', { tier });
      const complianceRequirements = [...required];
      const refused = await change(id, { complianceRequirements, name: `Other ${id}` });
      const errors = required.map((each) => ({
        pointer: '/complianceRequirements',
        rule: 'compliance',
        detail: expect.stringContaining(`"${each}"`),
      }));
      expect(refused).toMatchObject({ status: 409, body: { errors } });
      const before = (await call('GET /tenants/{tenantId}', { path: { tenantId: id } })).body;
      expect(before).toMatchObject({ name: id, complianceRequirements: [] });
      for (let times = 0; times < 2; times++) {
        expect(await change(id, { complianceRequirements, force: true })).toMatchObject({
          status: 200,
          body: { complianceRequirements, tier },
        });
      }
      expect(await offersOf(id)).toMatchObject([
        {
          targetTier: offered,
          status: 'open',
          reasons: errors.map(({ rule, detail }) => ({ rule, detail })),
        },
      ]);
      const audit =
        "SELECT request_data::text AS data FROM control_audit_log WHERE tenant_id = :id::uuid AND action = 'tenant.update'";
      expect(JSON.stringify(await two.masters.us.query(audit, { id }))).toContain('overridden');
      // What the tenant requires already is no news.
      expect((await change(id, { complianceRequirements: complianceRequirements.slice(0, 1) })).status).toBe(
        200,
      );
    },
  );

  test.each([
    ['business', ['soc2', 'gdpr', 'iso27001']],
    ['enterprise', ['soc2', 'gdpr', 'iso27001', 'hipaa', 'pci']],
  ] as const)('that a %s place satisfies are kept, and nothing is offered', async (tier, required) => {
    const id = await addTenant('us', { tier });
    expect((await change(id, { complianceRequirements: required })).status).toBe(200);
    expect(await offersOf(id)).toEqual([]);
  });

  test.each(['constructor', '__proto__x', 'pci-dss', 'toString', ''])('named %j are 400', async (name) => {
    const id = await addTenant('us', { tier: 'enterprise' });
    expect(await change(id, { complianceRequirements: [name] })).toMatchObject({
      status: 400,
      body: { errors: [{ pointer: '/complianceRequirements/0' }] },
    });
  });

  test('are compared with the place that a running move leads to', async () => {
    const id = await addTenant('us', { tier: 'business' });
    await two.us.query(
      `INSERT INTO tenant_moves (tenant_id, input, plan, started_by)
       VALUES (:id::uuid, '{}', '[{"to": {"isolationModel": "shared"}}]', 'test')`,
      { id },
    );
    expect((await change(id, { complianceRequirements: ['soc2'] })).status).toBe(409);
  });
});

test('maxUsers cannot be less than the active users', async () => {
  const path = { tenantId: await addTenant('us') };
  const users = ['a', 'b'].map((name) => ({ email: `${name}@users.test`, role: 'member' }));
  for (const body of users) await call('POST /tenants/{tenantId}/users', { path, body });
  const change = (maxUsers: number | null) => call('PATCH /tenants/{tenantId}', { path, body: { maxUsers } });
  expect(await change(1)).toMatchObject({
    status: 409,
    body: {
      detail: 'The tenant has 2 active users: maxUsers cannot be less than that.',
      errors: [{ pointer: '/maxUsers' }],
    },
  });
  for (const enough of [2, 3, null]) expect((await change(enough)).status).toBe(200);
});

test('the last active admin is neither deactivated, nor demoted, nor removed; another one makes it free', async () => {
  const path = { tenantId: await addTenant('us') };
  const add = async (name: string, role: string) =>
    (await call('POST /tenants/{tenantId}/users', { path, body: { email: `${name}@admins.test`, role } }))
      .body.userId as string;
  const [first, second] = [await add('first', 'admin'), await add('second', 'admin')];
  const user = (userId: string) => ({ ...path, userId });
  const change = (userId: string, body: object) =>
    call('PATCH /tenants/{tenantId}/users/{userId}', { path: user(userId), body });
  const remove = (userId: string) =>
    call('DELETE /tenants/{tenantId}/users/{userId}', { path: user(userId) });
  // Both at once: one stays.
  const both = await Promise.all([change(first, { isActive: false }), change(second, { role: 'viewer' })]);
  expect(both.map(({ status }) => status).sort()).toEqual([200, 409]);
  const [last, other] = both[0]?.status === 409 ? [first, second] : [second, first];
  for (const refused of [
    await change(last, { isActive: false }),
    await change(last, { role: 'member' }),
    await remove(last),
  ]) {
    expect(refused).toMatchObject({
      status: 409,
      body: { detail: expect.stringContaining('last active admin') },
    });
  }
  expect((await change(last, { role: 'admin', isActive: true })).status).toBe(200);
  expect((await change(other, { role: 'admin', isActive: true })).status).toBe(200);
  expect((await remove(last)).status).toBe(204);
});

test('GET /cells tells the cells of all regions with their fill, tenants on their way included', async () => {
  const cells = async () => (await call('GET /cells')).body.items;
  const before = await cells();
  expect(before).toMatchObject([{ region: 'us', maxSchemaTenants: 190, status: 'active' }, { region: 'eu' }]);
  const onboarding = (tier: string) => {
    const slug = `fill-${randomUUID().slice(0, 8)}`;
    return call('POST /tenants', { body: { name: slug, slug, adminEmail: 'a@fill.test', tier } });
  };
  const [starter] = [
    await onboarding('starter'),
    await onboarding('business'),
    await onboarding('enterprise'),
  ];
  const tenantId = starter.body.tenantId as string;
  const grown = (shared: number, schemas: number) =>
    before.map((cell: { region: string; sharedTenants: number; schemaTenants: number }) =>
      cell.region === 'eu'
        ? cell
        : {
            ...cell,
            sharedTenants: cell.sharedTenants + shared,
            schemaTenants: cell.schemaTenants + schemas,
          },
    );
  expect(await cells()).toEqual(grown(1, 1));
  await activate('us', tenantId);
  await call('POST /tenants/{tenantId}/moves', { path: { tenantId }, body: { targetTier: 'business' } });
  expect(await cells()).toEqual(grown(1, 2));
  expect(await call('GET /cells', { query: { limit: '1' } })).toMatchObject({ status: 400 });
});

test('GET /fleet has the bill of each region, and none while a region has no prices', async () => {
  expect(await call('GET /fleet')).toMatchObject({
    status: 503,
    body: { type: 'urn:strata:problem:unavailable' },
  });
  const { regions } = loadConfig({ STRATA_REGIONS: 'us,eu' });
  for (const region of regions) {
    const master = two.masters[region.key as 'us' | 'eu'];
    await writeCostBasis(master, costBasisOf({ ...config, regions }, region));
  }
  const { status, body } = await call('GET /fleet');
  expect(status).toBe(200);
  expect(body.regions.map(({ region }: { region: string }) => region)).toEqual(['us', 'eu']);
  const millionths = (dollars: number) => Math.round(dollars * 1e6);
  const bills = body.regions.map(
    ({ bill, unallocated }: { bill: number; unallocated: number }) =>
      millionths(bill) - millionths(unallocated),
  );
  expect(bills[0] + bills[1]).toBe(millionths(body.totals.cost));
  expect(bills[0]).toBeGreaterThan(0);
});
