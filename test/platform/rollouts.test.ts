import { beforeAll, describe, expect, test, vi } from 'vitest';
import { TENANT_SCHEMA_VERSION } from '../../functions/database/tables/schema-version.ts';
import { inDatabases } from './platform-databases.ts';
import { ASK_EVERY_MS, call, operatorToken, platform, unique, userToken } from './running-platform.ts';

let token: string;
beforeAll(async () => {
  token = await operatorToken();
});

/** The registry forgets how far the tenant's tables are: they are behind as far as it knows. */
async function forgetVersion(slug: string): Promise<void> {
  await inDatabases(
    platform(),
    `UPDATE tenant_database_routing r SET schema_version = 1 FROM tenants t
     WHERE t.tenant_id = r.tenant_id AND t.tenant_slug = '${slug}'`,
    'registry',
  );
}

async function knownVersion(slug: string): Promise<unknown> {
  const [row] = await inDatabases(
    platform(),
    `SELECT schema_version AS version FROM tenant_database_routing JOIN tenants USING (tenant_id) WHERE tenant_slug = '${slug}'`,
    'registry',
  );
  return row?.version;
}

const ask = (body?: unknown, headers: Record<string, string> = {}) =>
  call('POST', '/rollouts', { token, headers, ...(body === undefined ? {} : { body }) });

async function ended(location: string) {
  let { body } = await call('GET', location, { token });
  const over = async () => {
    ({ body } = await call('GET', location, { token }));
    return body.status !== 'running';
  };
  await vi.waitUntil(over, { timeout: 30_000, interval: ASK_EVERY_MS });
  return body;
}

test('a rollout is asked for once per key, reaches schemas and dedicated databases, and is listed', async () => {
  await forgetVersion('globex');
  await forgetVersion('acme');
  const headers = { 'idempotency-key': unique('rollout') };
  const asked = await ask({}, headers);
  expect(asked.status, JSON.stringify(asked.body)).toBe(202);
  const location = String(asked.headers.get('location'));
  expect(location).toBe(`/rollouts/${asked.body.rolloutId}`);
  const other = await ask({});
  expect([409, 202]).toContain(other.status);
  if (other.status === 409) expect(other.body.type).toBe('urn:strata:problem:rollout-running');
  const rollout = await ended(location);
  expect(rollout).toMatchObject({
    status: 'succeeded',
    phase: 'finished',
    reason: null,
    region: 'us',
    except: [],
    startedBy: 'operator@strata.test',
    targets: { pending: 0, deferred: 0, failed: 0 },
    models: { shared: { total: 0 } },
    failed: [],
    deferred: [],
    executionArn: expect.stringContaining(':schema-rollout:'),
  });
  // Tenants that other files are onboarding at this moment may lag as well.
  const { targets, models } = rollout;
  expect(targets.succeeded).toBe(targets.total);
  expect(models.schema.succeeded).toBeGreaterThanOrEqual(1);
  expect(models.dedicated.succeeded).toBeGreaterThanOrEqual(1);
  const replay = await ask({}, headers);
  expect([replay.status, replay.body.rolloutId]).toEqual([202, rollout.rolloutId]);
  expect(replay.headers.get('idempotency-replayed')).toBe('true');
  const { body: first } = await call('GET', '/rollouts?limit=1', { token });
  expect(first.items).toHaveLength(1);
  const { body: all } = await call('GET', '/rollouts?limit=200', { token });
  expect(all.items.map((item: { rolloutId: string }) => item.rolloutId)).toContain(rollout.rolloutId);
  if (other.status === 202) await ended(String(other.headers.get('location')));
});

test('an execution that is started by hand leaves out whom it is told to', async () => {
  await forgetVersion('globex');
  const { SFNClient, ListStateMachinesCommand, StartExecutionCommand } = await import('@aws-sdk/client-sfn');
  const states = new SFNClient({
    endpoint: platform().awsUrl,
    region: 'us-east-1',
    credentials: { accessKeyId: 'administrator', secretAccessKey: 'local' },
  });
  const { stateMachines = [] } = await states.send(new ListStateMachinesCommand({}));
  const stateMachineArn = stateMachines.find(({ name }) => name === 'schema-rollout')?.stateMachineArn;
  const run = async (input: object) => {
    const { executionArn } = await states.send(
      new StartExecutionCommand({ stateMachineArn, input: JSON.stringify(input) }),
    );
    let found: { rolloutId: string } | undefined;
    const recorded = async () => {
      const { body } = await call('GET', '/rollouts?limit=200', { token });
      found = body.items.find((item: { executionArn: string }) => item.executionArn === executionArn);
      return found !== undefined;
    };
    await vi.waitUntil(recorded, { timeout: 20_000, interval: ASK_EVERY_MS });
    return ended(`/rollouts/${found?.rolloutId}`);
  };
  const succeeds = async (input: object) => {
    const rollout = await run(input);
    expect(rollout, JSON.stringify(rollout)).toMatchObject({ status: 'succeeded' });
  };
  await succeeds({ except: ['globex'] });
  expect(await knownVersion('globex')).toBe(1);
  await succeeds({});
  expect(await knownVersion('globex')).toBe(TENANT_SCHEMA_VERSION);
});

describe('what is not a rollout', () => {
  const refusals: [string, unknown, string][] = [
    ['an unknown field', { urgent: true }, '/urgent'],
    ['a list that is none', { except: 'globex' }, '/except'],
    ['a name that is none', { except: ['a b'] }, '/except/0'],
    ['a tenant that is not known', { except: ['globex', 'nobody-here'] }, '/except/1'],
    ['a region that is not served', { region: 'mars' }, '/region'],
  ];
  test.each(refusals)('%s', async (_what, body, pointer) => {
    const answer = await ask(body);
    expect(answer.status).toBe(400);
    expect(answer.body.errors[0].pointer).toBe(pointer);
  });

  test('asked by a tenant, or one that does not exist', async () => {
    const tenant = await userToken('globex');
    expect((await call('POST', '/rollouts', { token: tenant, body: {} })).status).toBe(403);
    expect((await call('GET', '/rollouts', { token: tenant })).status).toBe(403);
    const missing = '/rollouts/00000000-0000-4000-8000-000000000000';
    expect((await call('GET', missing, { token })).status).toBe(404);
    expect((await call('GET', '/rollouts/nonsense', { token })).status).toBe(404);
    expect((await call('GET', '/rollouts?limit=0', { token })).status).toBe(400);
  });
});
