import { randomUUID } from 'node:crypto';
import { createServer, type IncomingMessage, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { S3Client } from '@aws-sdk/client-s3';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { ObjectStore } from '../../functions/aws/object-store.ts';
import { countObjects, eraseObjects, eraseStoredObjects } from '../../functions/offboarding/erase-objects.ts';
import { ErasureIncomplete } from '../../functions/offboarding/errors.ts';
import { findOffboarding } from '../../functions/offboarding/offboarding-records.ts';
import { requestOffboarding } from '../../functions/offboarding/request-offboarding.ts';
import { ownRegistry } from '../own-registry.ts';
import type { RegistryOverPostgres } from '../registry-over-postgres.ts';

/** A bucket with versions and Object Lock, as S3 behaves on the wire; the local platform's has neither. */
interface Version {
  readonly key: string;
  readonly id: string;
  readonly isMarker?: boolean;
  readonly lockedUntil?: Date;
  readonly refused?: boolean;
}

let registry: RegistryOverPostgres;
ownRegistry(async (own) => {
  registry = await own.registry();
});

let versions: Version[] = [];
let next = 1;
let server: Server;
let client: S3Client;
const PAGE = 2;

beforeAll(async () => {
  server = createServer(async (request, answer) => {
    const url = new URL(request.url ?? '/', 'http://s3.test');
    const { status, body } = respond(request.method ?? '', url, await bodyOf(request));
    answer.writeHead(status, { 'content-type': 'application/xml' }).end(body);
  });
  await new Promise<void>((listening) => server.listen(0, '127.0.0.1', listening));
  client = new S3Client({
    endpoint: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    region: 'us-east-1',
    forcePathStyle: true,
    credentials: { accessKeyId: 'x', secretAccessKey: 'x' },
  });
});
afterAll(() => {
  client.destroy();
  server.close();
});

async function bodyOf(request: IncomingMessage): Promise<string> {
  return Buffer.concat(await request.toArray()).toString();
}

function respond(method: string, { searchParams, pathname }: URL, body: string) {
  if (method === 'GET' && searchParams.has('versions')) return list(searchParams);
  if (method === 'GET' && searchParams.has('retention')) {
    const key = decodeURIComponent(pathname.split('/').slice(2).join('/'));
    const found = versions.find((one) => one.key === key && one.id === searchParams.get('versionId'));
    if (found?.lockedUntil) {
      return {
        status: 200,
        body: `<Retention><Mode>COMPLIANCE</Mode><RetainUntilDate>${found.lockedUntil.toISOString()}</RetainUntilDate></Retention>`,
      };
    }
    return { status: 404, body: '<Error><Code>NoSuchObjectLockConfiguration</Code></Error>' };
  }
  const objects = [...body.matchAll(/<Object>([\s\S]*?)<\/Object>/g)].map(([, text = '']) => ({
    key: /<Key>(.*?)<\/Key>/.exec(text)?.[1] ?? '',
    id: /<VersionId>(.*?)<\/VersionId>/.exec(text)?.[1],
  }));
  const errors: string[] = [];
  for (const { key, id } of objects) {
    if (id === undefined) {
      versions.push({ key, id: `v${next++}`, isMarker: true });
      continue;
    }
    const found = versions.find((one) => one.id === id);
    if (found?.lockedUntil || found?.refused) {
      errors.push(`<Error><Key>${key}</Key><VersionId>${id}</VersionId><Code>AccessDenied</Code></Error>`);
    } else versions = versions.filter((one) => one !== found);
  }
  return { status: 200, body: `<DeleteResult>${errors.join('')}</DeleteResult>` };
}

function list(query: URLSearchParams) {
  const order = ({ key, id }: Version) => `${key} ${id}`;
  const after = query.has('key-marker')
    ? `${query.get('key-marker')} ${query.get('version-id-marker') ?? '~'}`
    : '';
  const found = versions
    .filter(({ key }) => key.startsWith(query.get('prefix') ?? ''))
    .sort((one, other) => (order(one) < order(other) ? -1 : 1))
    .filter((one) => order(one) > after);
  const page = found.slice(0, PAGE);
  const last = page.at(-1);
  const isTruncated = found.length > page.length;
  const items = page.map(({ key, id, isMarker }) => {
    const kind = isMarker ? 'DeleteMarker' : 'Version';
    return `<${kind}><Key>${key}</Key><VersionId>${id}</VersionId></${kind}>`;
  });
  return {
    status: 200,
    body: `<ListVersionsResult><IsTruncated>${isTruncated}</IsTruncated>${
      isTruncated
        ? `<NextKeyMarker>${last!.key}</NextKeyMarker><NextVersionIdMarker>${last!.id}</NextVersionIdMarker>`
        : ''
    }${items.join('')}</ListVersionsResult>`,
  };
}

const TENANT = '22222222-2222-4222-8222-222222222222';
const NEIGHBOUR = '33333333-3333-4333-8333-333333333333';
const NOW = new Date('2026-11-30T10:00:00Z');
const add = (key: string, fields: Partial<Version> = {}) => {
  versions.push({ key, id: `v${String(next++).padStart(3, '0')}`, ...fields });
};
const store = () => new ObjectStore('backups', {}, async () => client);
const options = () => ({ name: 'bucket backups', deadline: performance.now() + 60_000, now: NOW });

test('all versions and delete markers of the tenant go, and none of another tenant', async () => {
  versions = [];
  for (const tier of ['starter', 'business', 'enterprise']) {
    for (const tenant of [TENANT, NEIGHBOUR]) {
      add(`tenant-backups/${tier}/${tenant}/b/manifest.json`);
      add(`tenant-backups/${tier}/${tenant}/b/manifest.json`);
      add(`tenant-backups/${tier}/${tenant}/b/manifest.json`, { isMarker: true });
    }
  }
  add(`tenant-exports/${TENANT}/e/tenant.tar.gz`);
  add(`audit-seals/${TENANT}/0000000001.json`);
  expect(await countObjects(store(), TENANT)).toEqual({
    'objects of backups': 9,
    'objects of exports': 1,
    'copies of audit seals': 1,
  });
  expect(await eraseObjects(store(), TENANT, options())).toEqual({ done: true, kept: [] });
  expect(await countObjects(store(), TENANT)).toEqual({});
  expect(versions).toHaveLength(9);
});

test('what Object Lock keeps is hidden, and listed with the day on which it is gone', async () => {
  versions = [];
  const until = new Date('2027-01-15T12:00:00Z');
  const key = `tenant-backups/enterprise/${TENANT}/b/part`;
  add(key, { lockedUntil: until });
  add(key);
  add(`${key}2`, { lockedUntil: new Date('2026-12-01T00:00:00Z') });
  const { done, kept } = await eraseObjects(store(), TENANT, options());
  expect(done).toBe(true);
  expect(kept.map(({ count, until: gone }) => [count, gone])).toEqual([
    // The lock ends tomorrow, and a former version goes a week after it has become one.
    [1, '2026-12-08T00:00:00.000Z'],
    [1, '2027-01-16T00:00:00.000Z'],
  ]);
  const markers = versions.filter(({ isMarker }) => isMarker).map((one) => one.key);
  expect(markers.sort()).toEqual([key, `${key}2`]);
  // Again: the same, and no second marker.
  expect((await eraseObjects(store(), TENANT, options())).kept).toEqual(kept);
  expect(versions).toHaveLength(4);
});

test('a version that S3 refuses to delete without a lock is an error', async () => {
  versions = [];
  add(`tenant-exports/${TENANT}/e/tenant.tar.gz`, { refused: true });
  await expect(eraseObjects(store(), TENANT, options())).rejects.toThrow(ErasureIncomplete);
});

test('a call that has no time left begins nothing', async () => {
  versions = [];
  add(`audit-seals/${TENANT}/0000000001.json`);
  const late = { ...options(), deadline: performance.now() - 1 };
  expect(await eraseObjects(store(), TENANT, late)).toEqual({ done: false, kept: [] });
  expect(versions).toHaveLength(1);
});

/** A tenant that is being offboarded. */
async function leavingTenant(): Promise<{ tenantId: string; offboardingId: string }> {
  const tenantId = randomUUID();
  await registry.query(
    `INSERT INTO tenants (tenant_id, tenant_name, tenant_slug, isolation_model, subscription_tier, status, home_region,
                          data_residency, admin_email)
     VALUES (:tenantId::uuid, :slug, :slug, 'shared', 'starter', 'active', 'us', 'us', 'a@t.test')`,
    { tenantId, slug: `t-${tenantId.slice(0, 13)}` },
  );
  const offboardingId = await requestOffboarding(registry, tenantId, {
    actor: { id: 'test', type: 'operator' },
    cause: 'request',
    executionArnOf: (name) => name,
    start: async () => {},
  });
  return { tenantId, offboardingId };
}

/** A backup, or an export, that ended so many seconds ago. */
async function endedWork(
  work: 'backup' | 'export',
  tenantId: string,
  { status, secondsAgo }: { status: string; secondsAgo: number },
): Promise<string> {
  const id = randomUUID();
  const common = `started_by, status, finished_at, expires_at`;
  const values = `'test', :status, now() - :secondsAgo::int * interval '1 second', now() + interval '7 days'`;
  await registry.query(
    work === 'backup'
      ? `INSERT INTO tenant_backups (backup_id, tenant_id, region, prefix, tier, isolation_model, epoch, schema_version, ${common})
         VALUES (:id::uuid, :tenantId::uuid, 'us', :id, 'starter', 'shared', 1, 1, ${values})`
      : `INSERT INTO tenant_exports (export_id, tenant_id, region, prefix, bucket, object_key, rows, bytes, sha256, snapshot_at,
                                     ${common})
         VALUES (:id::uuid, :tenantId::uuid, 'us', :id, 'b', 'k', 0, 0, 'x', now(), ${values})`,
    { id, tenantId, status, secondsAgo },
  );
  return id;
}

test.each(['backup', 'export'] as const)(
  'objects are searched when no function of a stopped or failed %s can write one any more',
  async (work) => {
    versions = [];
    const leaving = await leavingTenant();
    const { tenantId } = leaving;
    const erase = () =>
      eraseStoredObjects({ registry, ...leaving, deadline: performance.now() + 60_000 }, [store()]);
    const facts = async () => (await findOffboarding(registry, leaving.offboardingId))!.facts;
    // The usual case: the customer's own has succeeded a moment ago, and an earlier one had failed.
    await endedWork(work, tenantId, { status: 'succeeded', secondsAgo: 1 });
    await endedWork(work, tenantId, { status: 'failed', secondsAgo: 935 });
    const stopped = await endedWork(work, tenantId, { status: 'aborted', secondsAgo: 895 });
    expect(await erase()).toBe(false);
    expect(await facts()).toEqual({});
    // Its function stores an object before Lambda ends it.
    add(`tenant-exports/${tenantId}/e/late.csv.gz`);
    await registry.query(
      work === 'backup'
        ? `UPDATE tenant_backups SET finished_at = finished_at - interval '40 seconds' WHERE backup_id = :stopped::uuid`
        : `UPDATE tenant_exports SET finished_at = finished_at - interval '40 seconds' WHERE export_id = :stopped::uuid`,
      { stopped },
    );
    expect(await erase()).toBe(true);
    expect(versions).toEqual([]);
    expect((await facts())['bucket backups']).toMatchObject({
      found: { 'objects of exports': 1 },
      verifiedAt: expect.any(String),
    });
    await endedWork(work, tenantId, { status: 'failed', secondsAgo: 895 });
    expect(await erase()).toBe(false);
  },
);
