/** Restores to a point in time, on a platform whose database servers archive what is written. */
import { execFile } from 'node:child_process';
import { resolve } from 'node:path';
import { promisify } from 'node:util';
import { DescribeDBClustersCommand, RDSClient } from '@aws-sdk/client-rds';
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import { ClientLoad, type Send } from '../../infra/cli/client-load.ts';
import { OwnPlatform } from './own-platform.ts';

const PROJECT = resolve(import.meta.dirname, '../..');
const platform = new OwnPlatform(PROJECT, undefined, {
  STRATA_PITR: 'on',
  WAIT_SCALE: '0.02',
});
const TIMEOUT_MS = 240_000;
const POLL = { timeout: 120_000, interval: 100 };

interface Tenant {
  readonly slug: string;
  readonly tenantId: string;
  readonly send: Send;
}

// biome-ignore lint/suspicious/noExplicitAny: bodies as the API tells them.
type Body = any;

async function onboard(slug: string, tier: string): Promise<Tenant> {
  const input = { name: slug, slug, tier, adminEmail: `admin@${slug}.test` };
  expect(await platform.finished(await platform.startOnboarding(input))).toMatchObject({
    status: 'SUCCEEDED',
  });
  const { tenantId } = await operator<Body>('GET', `/tenants/${slug}`);
  return { slug, tenantId, send: await platform.sender({ tenantId, email: `admin@${slug}.test` }) };
}

async function operator<Answer>(method: string, path: string, body?: object): Promise<Answer> {
  return (await platform.client()).send<Answer>(method, path, body);
}

beforeAll(() => platform.start('--empty'), 120_000);
afterAll(() => platform.stop());

const rds = () =>
  new RDSClient({
    endpoint: platform.awsUrl,
    region: 'us-east-1',
    credentials: { accessKeyId: 'administrator', secretAccessKey: 'local' },
  });

async function clusters() {
  const { DBClusters = [] } = await rds().send(new DescribeDBClustersCommand({}));
  return DBClusters.map(({ DBClusterIdentifier = '', EarliestRestorableTime }) => ({
    identifier: DBClusterIdentifier,
    earliest: EarliestRestorableTime,
  }));
}

const sides = async () =>
  (await clusters()).map(({ identifier }) => identifier).filter((name) => name.startsWith('strata-side-'));

/** No copy of a cluster is left, or not for long. */
const noneLeft = () => vi.waitUntil(async () => (await sides()).length === 0, POLL);

/** Waits until all clusters can be restored to the present. */
const recoverable = () =>
  vi.waitUntil(async () => (await clusters()).every(({ earliest }) => earliest !== undefined), POLL);

/** Runs a schedule now, as an operator does. */
async function tick(schedule: string): Promise<void> {
  await promisify(execFile)(process.execPath, ['infra/cli/strata.ts', 'tick', schedule], {
    cwd: PROJECT,
    env: {
      ...process.env,
      API_PORT: new URL(platform.apiUrl).port,
      AWS_PORT: new URL(platform.awsUrl).port,
      STRATA_DIR: platform.stateDir,
    },
  });
}

async function hire({ send }: Tenant, name: string): Promise<string> {
  const { status, body } = await send('POST', '/employees', {
    email: `${name}@example.test`,
    firstName: name,
    lastName: 'Lovelace',
  });
  expect(status, JSON.stringify(body)).toBe(201);
  return String(body.employeeId);
}

async function namesOf({ send }: Tenant): Promise<string[]> {
  const { body } = await send('GET', '/employees?limit=200');
  return body.items.map(({ firstName }: { firstName: string }) => firstName).sort();
}

/** A time after all that was written until now, and before all that is written later. */
async function moment(): Promise<string> {
  const now = Date.now() + 1;
  await vi.waitUntil(() => Date.now() > now + 1, { interval: 1 });
  return new Date(now).toISOString();
}

/** Three employees, and the moments between them. */
async function threeWrites(tenant: Tenant, prefix: string) {
  await hire(tenant, `${prefix}-one`);
  const afterOne = await moment();
  await hire(tenant, `${prefix}-two`);
  const afterTwo = await moment();
  await hire(tenant, `${prefix}-three`);
  return { afterOne, afterTwo };
}

async function ended(slug: string, restoreId: string): Promise<Body> {
  let body: Body;
  await vi.waitUntil(async () => {
    body = await operator('GET', `/tenants/${slug}/restores/${restoreId}`);
    return body.status !== 'running';
  }, POLL);
  return body;
}

async function restore(slug: string, body: object): Promise<Body> {
  const { restoreId } = await operator<Body>('POST', `/tenants/${slug}/restores`, body);
  return ended(slug, restoreId);
}

describe('a Business tenant', () => {
  let tenant: Tenant;
  let neighbour: Tenant;
  let load: ClientLoad;
  let times: { afterOne: string; afterTwo: string };

  beforeAll(async () => {
    tenant = await onboard('lender', 'business');
    neighbour = await onboard('neighbour', 'business');
    await recoverable();
    load = new ClientLoad(neighbour.send, { prefix: 'n', writers: 2, readers: 1, restMs: 20, atMost: 40 });
    load.start();
    times = await threeWrites(tenant, 'b');
  }, TIMEOUT_MS);

  test(
    'has again what it had between two writes, while its neighbour writes on and loses nothing',
    async () => {
      const restored = await restore(tenant.slug, { at: times.afterTwo, mode: 'replace' });
      expect(restored).toMatchObject({
        reason: null,
        status: 'succeeded',
        mode: 'replace',
        at: times.afterTwo,
      });
      expect(await namesOf(tenant)).toEqual(['b-one', 'b-two']);
      expect(restored.discarded).toMatchObject({ writes: 1 });
      const { items } = await operator<Body>('GET', `/tenants/${tenant.slug}/backups`);
      expect(items).toMatchObject([
        {
          backupId: restored.backupId,
          status: 'succeeded',
          snapshotAt: expect.stringMatching(new RegExp(`^${times.afterTwo.slice(0, -1)}`)),
          startedBy: `restore:${restored.restoreId}`,
        },
      ]);
      await noneLeft();
    },
    TIMEOUT_MS,
  );

  test(
    'has what it had before that, though its schema had another name then',
    async () => {
      const restored = await restore(tenant.slug, { at: times.afterOne });
      expect(restored).toMatchObject({ reason: null, status: 'succeeded' });
      expect(await namesOf(tenant)).toEqual(['b-one']);
      await noneLeft();
    },
    TIMEOUT_MS,
  );

  test(
    'can be restored to the time before a restore, and a restore to a time can be taken back',
    async () => {
      const before = await moment();
      await hire(tenant, 'b-four');
      expect(await restore(tenant.slug, { at: before })).toMatchObject({ status: 'succeeded' });
      expect(await namesOf(tenant)).toEqual(['b-one']);
      const { items } = await operator<Body>('GET', `/tenants/${tenant.slug}/restores`);
      const { restoreId } = await operator<Body>(
        'POST',
        `/tenants/${tenant.slug}/restores/${items.at(-1).restoreId}/undo`,
        {},
      );
      expect(await ended(tenant.slug, restoreId)).toMatchObject({ status: 'succeeded' });
      expect(await namesOf(tenant)).toEqual(['b-four', 'b-one']);
    },
    TIMEOUT_MS,
  );

  test(
    'is cloned as it was at a time',
    async () => {
      const { restoreId } = await operator<Body>('POST', `/tenants/${tenant.slug}/restores`, {
        at: times.afterTwo,
        mode: 'clone',
        slug: 'lender-then',
        adminEmail: 'support@example.test',
      });
      const restored = await ended('lender-then', restoreId);
      expect(restored).toMatchObject({ reason: null, status: 'succeeded', cloneOf: tenant.tenantId });
      const { tenantId } = await operator<Body>('GET', '/tenants/lender-then');
      const send = await platform.sender({ tenantId, email: 'support@example.test' });
      expect(await namesOf({ slug: 'lender-then', tenantId, send })).toEqual(['b-one', 'b-two']);
      expect(await namesOf(tenant)).toEqual(['b-four', 'b-one']);
      await noneLeft();
    },
    TIMEOUT_MS,
  );

  test('its neighbour has lost nothing', async () => {
    await load.stop();
    expect(load.violations).toEqual([]);
    expect(await load.verify(neighbour.send)).toEqual([]);
  });

  test(
    'when the restore is aborted, nothing is left and nothing has changed',
    async () => {
      const { restoreId } = await operator<Body>('POST', `/tenants/${tenant.slug}/restores`, {
        at: times.afterTwo,
      });
      await vi.waitUntil(async () => (await sides()).length > 0, POLL);
      await operator('POST', `/tenants/${tenant.slug}/restores/${restoreId}/abort`, {});
      expect(await ended(tenant.slug, restoreId)).toMatchObject({ status: 'aborted' });
      expect(await namesOf(tenant)).toEqual(['b-four', 'b-one']);
      await noneLeft();
    },
    TIMEOUT_MS,
  );

  test.each(['Side cluster', 'Side backup', 'Copy side backup', 'Drop side cluster', 'Fill'])(
    'the platform killed at "%s": the copy of the cluster goes, and the same input can be restored',
    async (state) => {
      const input = { slug: tenant.slug, at: times.afterTwo };
      const killed = await platform.startExecution('tenant-restore', input);
      await platform.entered(killed, state);
      await platform.kill();
      await platform.start();
      tenant = {
        ...tenant,
        send: await platform.sender({ tenantId: tenant.tenantId, email: 'admin@lender.test' }),
      };
      await vi.waitUntil(async () => {
        const { items } = await operator<Body>('GET', `/tenants/${tenant.slug}/restores?limit=200`);
        return items.every(({ status }: { status: string }) => status !== 'running');
      }, POLL);
      await tick('side-cluster-sweep');
      await noneLeft();
      expect(await namesOf(tenant)).toContain('b-one');
      await recoverable();
      const again = await platform.finished(await platform.startExecution('tenant-restore', input));
      expect(again, again.cause).toMatchObject({ status: 'SUCCEEDED' });
      expect(await namesOf(tenant)).toEqual(['b-one', 'b-two']);
      await noneLeft();
    },
    TIMEOUT_MS,
  );
});

test(
  'an Enterprise tenant has again what it had between two writes',
  async () => {
    const tenant = await onboard('vault', 'enterprise');
    await recoverable();
    const { afterOne } = await threeWrites(tenant, 'e');
    const restored = await restore(tenant.slug, { at: afterOne });
    expect(restored).toMatchObject({ reason: null, status: 'succeeded' });
    expect(await namesOf(tenant)).toEqual(['e-one']);
    await noneLeft();
  },
  TIMEOUT_MS,
);
