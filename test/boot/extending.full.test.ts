/**
 * The release that docs/extending.md leads through, and the one before it: deployed onto a running platform, with a
 * target that refuses its migration; taken back; started on each other's state. The demo tenants are at work throughout.
 */
import { join, resolve } from 'node:path';
import { DescribeDBClustersCommand, RDSClient } from '@aws-sdk/client-rds';
import { GetSecretValueCommand, SecretsManagerClient } from '@aws-sdk/client-secrets-manager';
import pg from 'pg';
import { afterAll, beforeAll, expect, test, vi } from 'vitest';
import { ClientLoad, type HttpAnswer, type Send } from '../../infra/cli/client-load.ts';
import { requestDeployment } from '../../infra/local/index.ts';
import { makeExtendedTree, synthesizeTree } from '../extended-tree.ts';
import { sharedAssembly } from '../infra/synthesized-app.ts';
import { OwnPlatform } from './own-platform.ts';

const PROJECT = resolve(import.meta.dirname, '../..');
const SLUGS = ['initech', 'globex', 'acme'] as const;
let before: string;
let after: string;
let platform: OwnPlatform;
const tenantIds = new Map<string, string>();

beforeAll(async () => {
  before = (await sharedAssembly('local')).directory;
  platform = new OwnPlatform(PROJECT, undefined, { STRATA_ASSEMBLY: before });
  const extended = async () => {
    const tree = makeExtendedTree(join(platform.directory, 'tree'));
    after = await synthesizeTree(tree, join(platform.directory, 'extended'));
  };
  await Promise.all([platform.start(), extended()]);
  const operator = await platform.client();
  for (const slug of SLUGS) {
    const { tenantId } = await operator.get<{ tenantId: string }>(`/tenants/${slug}`);
    tenantIds.set(slug, tenantId);
  }
}, 300_000);
afterAll(() => platform?.stop());

const senderOf = (slug: string): Promise<Send> =>
  platform.sender({ tenantId: tenantIds.get(slug) as string, email: `admin@${slug}.test` });

/** Stops the platform and starts it with the assembly on the same state. */
async function restartWith(assembly: string): Promise<void> {
  await platform.kill();
  platform = new OwnPlatform(PROJECT, platform.directory, { STRATA_ASSEMBLY: assembly });
  await platform.start();
}

async function work<Result>(during: () => Promise<Result>): Promise<Result> {
  const loads = await Promise.all(
    SLUGS.map(async (slug) => {
      const prefix = `${slug}-${Date.now()}`;
      const load = new ClientLoad(await senderOf(slug), {
        prefix,
        writers: 1,
        readers: 1,
        restMs: 10,
        atMost: 5,
      });
      load.start();
      await load.written(3);
      return load;
    }),
  );
  const result = await during();
  await Promise.all(loads.map((load) => load.written(3)));
  await Promise.all(loads.map((load) => load.stop()));
  for (const [index, load] of loads.entries()) {
    expect(load.violations, SLUGS[index]).toEqual([]);
    expect(await load.verify(), SLUGS[index]).toEqual([]);
  }
  return result;
}

interface Rollout {
  readonly rolloutId: string;
  readonly status: string;
  readonly targets: { readonly total: number; readonly succeeded: number };
  readonly failed: readonly { readonly slug: string; readonly reason: string }[];
}
async function lastRollout(): Promise<Rollout> {
  const operator = await platform.client();
  const rollouts = await operator.list<{ rolloutId: string }>('/rollouts');
  return operator.get<Rollout>(`/rollouts/${rollouts.at(-1)?.rolloutId}`);
}
/** The last rollout, once it has ended; it is another one than `previous`. */
async function ended(previous?: Rollout): Promise<Rollout> {
  await vi.waitUntil(
    async () => {
      // A deployment may end before its rollout has registered itself.
      const last = await lastRollout().catch(() => undefined);
      return last && last.rolloutId !== previous?.rolloutId && last.status !== 'running';
    },
    { timeout: 60_000, interval: 50 },
  );
  return lastRollout();
}

let people = 0;
async function hire(send: Send, more: object = {}): Promise<HttpAnswer> {
  const email = `person-${people++}@extended.test`;
  return send('POST', '/employees', { email, firstName: 'Ada', lastName: 'L', ...more });
}

/** A connection of the owner of globex's cell. */
async function cellOwner(): Promise<pg.Client> {
  const { cellId } = await (await platform.client()).get<{ cellId: string }>('/tenants/globex');
  const aws = {
    endpoint: platform.awsUrl,
    region: 'us-east-1',
    credentials: { accessKeyId: 'any', secretAccessKey: 'any' },
  };
  const secret = new GetSecretValueCommand({ SecretId: `strata/${cellId}/owner` });
  const { SecretString = '' } = await new SecretsManagerClient(aws).send(secret);
  const described = new DescribeDBClustersCommand({ DBClusterIdentifier: `strata-${cellId}` });
  const [cluster] = (await new RDSClient(aws).send(described)).DBClusters ?? [];
  const { username, password } = JSON.parse(SecretString);
  const client = new pg.Client({
    host: cluster!.Endpoint!,
    port: cluster!.Port!,
    database: 'strata',
    user: username,
    password,
    ssl: { rejectUnauthorized: false },
  });
  client.on('error', () => {});
  await client.connect();
  return client;
}

async function globexSchema(owner: pg.Client): Promise<string> {
  const { rows } = await owner.query('SELECT schema_name FROM tenancy.placement WHERE tenant_id = $1', [
    tenantIds.get('globex'),
  ]);
  return rows[0].schema_name;
}

test('a release that adds a column and a table reaches all models while they work, but for a target that refuses it', async () => {
  const owner = await cellOwner();
  const schema = await globexSchema(owner);
  // Something of another name's stands in the way.
  await owner.query(`CREATE TABLE ${schema}.offices (mine text)`);
  const previous = await lastRollout().catch(() => undefined);
  const outcome = await work(async () => {
    expect(await requestDeployment(platform.awsUrl, async () => after, {})).toMatchObject({
      status: 'deployed',
    });
    return ended(previous);
  });
  expect(outcome).toMatchObject({ status: 'failed', failed: [{ slug: 'globex' }] });
  expect(outcome.failed[0]?.reason).toContain('offices');

  const globex = await senderOf('globex');
  const [known] = (await globex('GET', '/employees?limit=1')).body.items;
  expect(known).toMatchObject({ nickname: null });
  expect(await hire(globex)).toMatchObject({ status: 201, body: { nickname: null } });
  expect(await globex('GET', '/employees?q=ada&limit=2')).toMatchObject({ status: 200 });
  const upgrading = { status: 503, body: { type: 'urn:strata:problem:schema-upgrading' } };
  expect(await hire(globex, { nickname: 'The Countess' })).toMatchObject(upgrading);
  expect(await globex('PATCH', `/employees/${known.employeeId}`, { nickname: 'Al' })).toMatchObject(
    upgrading,
  );
  expect(await globex('GET', '/offices')).toMatchObject(upgrading);

  // Canaries stop a rollout before others are touched: whoever is not reached is served like globex.
  await owner.query(`DROP TABLE ${schema}.offices`);
  await owner.end();
  const operator = await platform.client();
  await work(async () => {
    await operator.post('/rollouts', {});
    expect(await ended(outcome)).toMatchObject({ status: 'succeeded' });
  });
  for (const slug of SLUGS) {
    const send = await senderOf(slug);
    await vi.waitUntil(async () => (await send('GET', '/offices')).status === 200, { timeout: 10_000 });
    expect(await hire(send, { nickname: 'The Countess' })).toMatchObject({
      status: 201,
      body: { nickname: 'The Countess' },
    });
    expect(await send('POST', '/offices', { officeName: 'Head office', city: 'London' })).toMatchObject({
      status: 201,
    });
    expect((await send('GET', '/offices')).body.items).toHaveLength(1);
  }
}, 300_000);

test('the release before runs on the newer tables, deployed and started, and loses nothing of them', async () => {
  await work(async () => {
    expect(await requestDeployment(platform.awsUrl, async () => before, {})).toMatchObject({
      status: 'deployed',
    });
  });
  await restartWith(before);
  await work(async () => {
    for (const slug of SLUGS) {
      const send = await senderOf(slug);
      expect(await send('GET', '/employees?limit=5')).toMatchObject({ status: 200 });
      const { status, body } = await hire(send);
      expect(status).toBe(201);
      expect(body).not.toHaveProperty('nickname');
      expect((await send('GET', '/offices')).status).toBe(404);
    }
  });
  // What is new comes at the newest version in one step, also where the older release runs: at its own.
  const operator = await platform.client();
  const { executionArn } = await operator.post<{ executionArn: string }>('/tenants', {
    name: 'Hooli',
    slug: 'hooli',
    adminEmail: 'admin@hooli.test',
    tier: 'business',
  });
  expect(await platform.finished(executionArn)).toMatchObject({ status: 'SUCCEEDED' });
  await restartWith(after);
  const { tenantId } = await operator
    .get<{ tenantId: string }>('/tenants/hooli')
    .catch(async () => (await platform.client()).get<{ tenantId: string }>('/tenants/hooli'));
  tenantIds.set('hooli', tenantId);
  for (const slug of [...SLUGS, 'hooli']) {
    const send = await senderOf(slug);
    await vi.waitUntil(async () => (await send('GET', '/offices')).status === 200, { timeout: 30_000 });
    expect(await hire(send, { nickname: 'Al' })).toMatchObject({ status: 201, body: { nickname: 'Al' } });
  }
  for (const slug of SLUGS) {
    const send = await senderOf(slug);
    expect((await send('GET', '/offices')).body.items).toHaveLength(1);
    const { items } = (await send('GET', '/employees?q=person-&limit=200')).body;
    expect(items.map(({ nickname }: { nickname: string | null }) => nickname)).toContain('The Countess');
  }
}, 300_000);
