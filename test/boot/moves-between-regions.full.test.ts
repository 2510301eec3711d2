/** Two regions on one machine: each with its registry, its user pool and its API. */
import { resolve } from 'node:path';
import { afterAll, beforeAll, expect, test, vi } from 'vitest';
import { ClientLoad, type Send } from '../../infra/cli/client-load.ts';
import { type IdentityDocument, signToken } from '../../infra/local/index.ts';
import { OwnPlatform } from './own-platform.ts';

const platform = new OwnPlatform(resolve(import.meta.dirname, '../..'), undefined, {
  STRATA_REGIONS: 'us,eu',
  // Nobody's clean-up is waited for here.
  WAIT_SCALE: '0.005',
});
beforeAll(() => platform.start('--empty'), 60_000);
afterAll(() => platform.stop());

// biome-ignore lint/suspicious/noExplicitAny: answers of any shape.
type Body = any;

async function operator(
  method: string,
  path: string,
  body?: object,
): Promise<{ status: number; body: Body }> {
  const token = await signToken(platform.identity as Required<IdentityDocument>, {
    email: 'operator@strata.test',
    scope: 'strata/operator',
  });
  return ask(`${platform.apiUrl}${path}`, token, method, body);
}

async function ask(url: string, token: string, method: string, body?: object) {
  const response = await fetch(url, {
    method,
    redirect: 'manual',
    headers: { authorization: `Bearer ${token}`, ...(body ? { 'content-type': 'application/json' } : {}) },
    ...(body ? { body: JSON.stringify(body) } : {}),
  });
  const text = await response.text();
  return {
    status: response.status,
    location: response.headers.get('location'),
    body: text ? JSON.parse(text) : undefined,
  };
}

/** Somebody who has signed in to the pools of both regions, begins at home's API, and goes where he is sent. */
function travelling(tenantId: string, email: string): Send {
  const tokens = new Map<string, Promise<string>>();
  const tokenFor = (origin: string): Promise<string> => {
    const { privateKey, issuers = {} } = platform.identity;
    const identity = { privateKey, ...issuers[origin] } as Required<IdentityDocument>;
    return signToken(identity, { tenantId, email, role: 'admin', scope: '' });
  };
  return async (method, path, body) => {
    let url = `${platform.apiUrl}${path}`;
    for (;;) {
      const { origin } = new URL(url);
      const token = tokens.get(origin) ?? tokenFor(origin);
      tokens.set(origin, token);
      const answer = await ask(url, await token, method, body);
      if (answer.status !== 308 || !answer.location) return answer;
      url = answer.location;
    }
  };
}

async function onboard(slug: string, fields: object = {}): Promise<Body> {
  const created = await operator('POST', '/tenants', {
    name: slug,
    slug,
    adminEmail: `a@${slug}.test`,
    ...fields,
  });
  expect(created.status, JSON.stringify(created.body)).toBe(202);
  return until(slug, ({ status }) => status === 'active');
}

async function until(slug: string, condition: (tenant: Body) => boolean): Promise<Body> {
  let tenant: Body;
  const met = async () => {
    tenant = (await operator('GET', `/tenants/${slug}`)).body;
    return condition(tenant);
  };
  await vi.waitUntil(met, { timeout: 60_000, interval: 50 });
  return tenant;
}

async function move(slug: string, body: object): Promise<string> {
  const { status, body: answer } = await operator('POST', `/tenants/${slug}/moves`, body);
  expect(status, JSON.stringify(answer)).toBe(202);
  return `/tenants/${slug}/moves/${answer.moveId}`;
}

async function ended(location: string): Promise<Body> {
  let found: Body;
  const over = async () => {
    found = (await operator('GET', location)).body;
    return found.status !== 'running';
  };
  await vi.waitUntil(over, { timeout: 90_000, interval: 50 });
  return found;
}

test('a tenant is onboarded into the region of its residency, and served there only', async () => {
  const tenant = await onboard('alpina', { dataResidency: 'eu', tier: 'business' });
  expect(tenant).toMatchObject({ dataResidency: 'eu', region: 'eu', cellId: 'eu-1' });
  const send = travelling(tenant.tenantId, 'a@alpina.test');
  const { privateKey, issuers = {} } = platform.identity;
  const eu = { privateKey, ...issuers[tenant.apiUrl] } as Required<IdentityDocument>;
  const claims = { tenantId: tenant.tenantId, email: 'a@alpina.test', role: 'admin' as const, scope: '' };
  const token = await signToken(eu, claims);
  expect((await ask(`${tenant.apiUrl}/employees`, token, 'GET')).status).toBe(200);
  expect((await ask(`${platform.apiUrl}/employees`, token, 'GET')).status).toBe(401);
  expect((await send('GET', '/employees?limit=1')).status).toBe(200);
  const taken = await operator('POST', '/tenants', {
    name: 'Another',
    slug: 'alpina',
    adminEmail: 'a@another.test',
  });
  expect(taken.status).toBe(409);
  const { body: list } = await operator('GET', '/tenants?dataResidency=eu');
  expect(list.items.map(({ slug }: Body) => slug)).toEqual(['alpina']);
});

test('a Starter tenant changes its residency while clients work: none is refused, nothing is lost', async () => {
  const { tenantId } = await onboard('nomad');
  const send = travelling(tenantId, 'a@nomad.test');
  const person = { email: 'p@nomad.test', firstName: 'A', lastName: 'B', ssn: '078-05-1120', salary: 1.5 };
  const { body: paid } = await send('POST', '/employees', person);
  const load = new ClientLoad(send, {
    prefix: 'nomad',
    writers: 2,
    readers: 2,
    restMs: 10,
    atMost: 40,
  });
  load.start();
  await load.written(20);
  const location = await move('nomad', { targetResidency: 'eu' });
  expect(await ended(location)).toMatchObject({ status: 'succeeded', target: { residency: 'eu' } });
  const there = await until('nomad', ({ isolationModel }) => isolationModel === 'shared');
  expect(there).toMatchObject({ tier: 'starter', dataResidency: 'eu', region: 'eu', cellId: 'eu-1' });
  // Its encrypted fields are under the key of the region that it has left.
  const arrived = await send('GET', `/employees/${paid.employeeId}`);
  expect(arrived.body).toMatchObject({ ssn: '078-05-1120', salary: 1.5 });
  await load.written(20);
  await load.stop();
  expect(load.violations).toEqual([]);
  expect(await load.verify()).toEqual([]);
  const rotations = async () => (await operator('GET', '/tenants/nomad/key-rotations')).body.items;
  const inEurope = (items: Body[]) =>
    items.find(({ region, valuesDone }) => region === 'eu' && valuesDone === 2);
  const rotated = await vi.waitUntil(async () => inEurope(await rotations()), {
    timeout: 100_000,
    interval: 500,
  });
  expect(rotated.keyArn).toContain(':eu-west-1:');
  expect((await send('GET', `/employees/${paid.employeeId}`)).body.ssn).toBe('078-05-1120');
  // Both parts of the way, in the order in which they were taken, though each is in the registry of its region.
  const { body: moves } = await operator('GET', '/tenants/nomad/moves');
  expect(moves.items.map(({ target }: Body) => target)).toEqual([{ residency: 'eu' }, { tier: 'starter' }]);
}, 240_000);

test('a move that is aborted on its way leaves the tenant at home, and nothing in the other region', async () => {
  await onboard('homely', { tier: 'business' });
  const location = await move('homely', { targetResidency: 'eu' });
  const aborted = await operator('POST', `${location}/abort`);
  const end = await ended(location);
  // Where it was too late to stop it, it has arrived.
  expect(end.status).toBe(aborted.status === 202 && end.status !== 'succeeded' ? 'aborted' : 'succeeded');
  if (end.status === 'aborted') {
    expect(await until('homely', () => true)).toMatchObject({ region: 'us', status: 'active' });
    const again = await move('homely', { targetResidency: 'eu' });
    expect(await ended(again)).toMatchObject({ status: 'succeeded' });
  }
  expect(await until('homely', () => true)).toMatchObject({ region: 'eu', status: 'active' });
}, 120_000);

test('an Enterprise tenant changes region and size at once, and the report names what stays behind', async () => {
  const { tenantId } = await onboard('grand', { tier: 'enterprise', databaseSize: 'small' });
  const location = await move('grand', { targetResidency: 'eu', targetSize: 'large' });
  expect(await ended(location)).toMatchObject({
    status: 'succeeded',
    target: { residency: 'eu', size: 'large' },
    plan: [{ to: { region: 'eu', databaseSize: 'large' } }],
  });
  expect(await until('grand', () => true)).toMatchObject({ region: 'eu', databaseSize: 'large' });
  const send = travelling(tenantId, 'a@grand.test');
  expect((await send('GET', '/analytics/skills-summary')).status).toBe(200);
  // Without a size it keeps its own.
  expect(
    (await operator('POST', '/tenants/grand/moves', { targetResidency: 'us', dryRun: true })).body,
  ).toMatchObject({
    plan: [{ to: { region: 'us', databaseSize: 'large' } }],
  });
  const { status, body } = await operator('GET', '/tenants/grand/residency');
  expect(status).toBe(200);
  const kinds = (awsRegion: string): string[] =>
    body.data.filter((each: Body) => each.awsRegion === awsRegion).map(({ kind }: Body) => kind);
  expect(kinds('eu-west-1')).toEqual(
    expect.arrayContaining(['database', 'read-replicas', 'registry', 'user-accounts', 'field-keys']),
  );
  const behind = kinds('us-east-1');
  expect(behind).toEqual(expect.arrayContaining(['audit-seal-copies', 'logs', 'directory', 'field-keys']));
  expect(behind).not.toContain('registry');
  expect(body.violations).toContainEqual({
    rule: 'residency',
    detail: 'The logs in us-east-1 are outside of the European Union.',
  });
}, 240_000);

test('killed while it crosses the border, the platform finds the tenant in one region, with all of its data', async () => {
  const { tenantId } = await onboard('pilgrim', { tier: 'business', dataResidency: 'eu' });
  const send = travelling(tenantId, 'a@pilgrim.test');
  const load = new ClientLoad(send, { prefix: 'pilgrim', writers: 2, readers: 1, restMs: 10 });
  load.start();
  await load.written(10);
  const location = await move('pilgrim', { targetResidency: 'us' });
  const crossing = async () => ['cut-over', 'compare'].includes((await operator('GET', location)).body.phase);
  await vi.waitUntil(crossing, { timeout: 60_000, interval: 5 });
  load.forgive();
  await platform.kill();
  await load.stop();
  expect(load.violations).toEqual([]);

  await platform.start();
  // Its issuers have other addresses now.
  const again = travelling(tenantId, 'a@pilgrim.test');
  const written = await again('POST', '/employees', {
    email: 'after@pilgrim.test',
    firstName: 'A',
    lastName: 'B',
  });
  expect(written.status, JSON.stringify(written.body)).toBe(201);
  expect((await ended(location)).status).not.toBe('running');
  const { region } = await until('pilgrim', ({ status }) => status === 'active');
  if (region === 'eu') {
    const second = await move('pilgrim', { targetResidency: 'us' });
    expect(await ended(second)).toMatchObject({ status: 'succeeded' });
  }
  expect(await until('pilgrim', () => true)).toMatchObject({ region: 'us', isolationModel: 'schema' });
  expect(await load.verify(again)).toEqual([]);
}, 180_000);
