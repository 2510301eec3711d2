/**
 * A region that is lost with its registry, databases, keys and bucket: what is left are the copies of its backups and of
 * the keys of encrypted fields, in its second AWS region. It is deployed again there, the backups are put into its new
 * bucket, and its tenants come back under their ids, with record, users, rows and encrypted fields.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import {
  GetObjectCommand,
  ListBucketsCommand,
  ListObjectsV2Command,
  PutObjectCommand,
  S3Client,
} from '@aws-sdk/client-s3';
import { afterAll, beforeAll, expect, test, vi } from 'vitest';
import { synthesize } from '../../infra/app.ts';
import { knownRegions, type StrataConfig } from '../../infra/config.ts';
import { bundleFunctions } from '../../infra/constructs/function-bundle.ts';
import { internals, stateFile } from '../../infra/local/index.ts';
import { validateConfig } from '../../infra/validate-config.ts';
import { VARIANTS } from '../infra/assemblies.ts';
import { strata } from '../infra/cli/run-command.ts';
import { databaseOf } from '../platform/backup-runs.ts';
import { OwnPlatform } from './own-platform.ts';

const SLUGS = ['initech', 'globex', 'acme'];
const SECOND = 'us-west-2';

let lost: OwnPlatform;
let next: OwnPlatform;
const assemblies = mkdtempSync(join(tmpdir(), 'strata-lost-'));
beforeAll(async () => {
  const project = resolve(import.meta.dirname, '../..');
  const bundle = bundleFunctions(project, join(assemblies, 'bundle'));
  const platformOf = async (name: string, changes: Partial<StrataConfig>, awsRegion: string) => {
    const config = validateConfig({ ...VARIANTS.local, ...changes });
    const STRATA_ASSEMBLY = join(assemblies, name);
    await synthesize({ config, outdir: STRATA_ASSEMBLY, validate: false, bundle });
    return new OwnPlatform(project, undefined, { STRATA_ASSEMBLY }, awsRegion);
  };
  const { backups } = VARIANTS.local;
  const copied = { ...backups, copyBusiness: true, secondRegions: { us: SECOND } };
  lost = await platformOf('lost', { backups: copied }, 'us-east-1');
  const [us] = VARIANTS.local.regions;
  const zones = ['a', 'b', 'c'].map((zone) => `${SECOND}${zone}`);
  const there = { ...(us ?? knownRegions.us), awsRegion: SECOND, availabilityZones: zones };
  next = await platformOf('next', { regions: [there] }, SECOND);
  await lost.start();
}, 240_000);
afterAll(async () => {
  await lost?.stop();
  await next?.stop();
  rmSync(assemblies, { recursive: true, force: true });
});

interface StoredKey {
  readonly region: string;
}

/** What is left of the keys of KMS: those of the second region. */
const leftKeys = ({ stateDir }: OwnPlatform): StoredKey[] =>
  stateFile(join(stateDir, 'state'))
    .load<StoredKey[]>('kms', [])
    .filter(({ region }) => region === SECOND);

/** As KMS of the region has them, before anything is deployed there. */
async function keepKeys({ stateDir }: OwnPlatform, keys: readonly StoredKey[]): Promise<void> {
  const { claimStateDirectory, prepareStateDirectory } = await internals();
  prepareStateDirectory(claimStateDirectory(stateDir));
  stateFile(join(stateDir, 'state')).save('kms', keys);
}

const runOn = ({ apiUrl, awsUrl, stateDir, awsRegion }: OwnPlatform, ...args: string[]) =>
  strata(args, {
    STRATA_API_URL: apiUrl,
    AWS_ENDPOINT_URL: awsUrl,
    STRATA_DIR: stateDir,
    AWS_REGION: awsRegion,
  });
const run = (...args: string[]) => runOn(next, ...args);

function s3Of({ awsUrl, awsRegion }: OwnPlatform): S3Client {
  return new S3Client({
    endpoint: awsUrl,
    region: awsRegion,
    credentials: { accessKeyId: 'administrator', secretAccessKey: 'local' },
    forcePathStyle: true,
  });
}

async function bucketOf(s3: S3Client): Promise<string> {
  const { Buckets = [] } = await s3.send(new ListBucketsCommand({}));
  return Buckets.map(({ Name = '' }) => Name).find((name) => /bucketbackups/i.test(name)) ?? '';
}

/** As the copies' bucket keeps them. */
async function copiesOf(platform: OwnPlatform): Promise<Map<string, Uint8Array>> {
  const s3 = s3Of(platform);
  const Bucket = await bucketOf(s3);
  const copies = new Map<string, Uint8Array>();
  const { Contents = [] } = await s3.send(new ListObjectsV2Command({ Bucket, Prefix: 'tenant-backups/' }));
  for (const { Key = '' } of Contents) {
    const { Body } = await s3.send(new GetObjectCommand({ Bucket, Key }));
    copies.set(Key, await Body!.transformToByteArray());
  }
  return copies;
}

async function putBack(platform: OwnPlatform, copies: ReadonlyMap<string, Uint8Array>): Promise<void> {
  const s3 = s3Of(platform);
  const Bucket = await bucketOf(s3);
  for (const [Key, Body] of copies) await s3.send(new PutObjectCommand({ Bucket, Key, Body }));
}

// biome-ignore lint/suspicious/noExplicitAny: bodies as the API tells them.
type Body = any;

async function backUp(slug: string): Promise<string> {
  const api = await lost.client();
  const { backupId } = await api.post<Body>(`/tenants/${slug}/backups`, {});
  const over = async () => (await api.get<Body>(`/tenants/${slug}/backups/${backupId}`)).status !== 'running';
  await vi.waitUntil(over, { timeout: 120_000, interval: 50 });
  expect(await api.get<Body>(`/tenants/${slug}/backups/${backupId}`)).toMatchObject({ status: 'succeeded' });
  return backupId;
}

/** Ids of what the tenant's users have done. */
async function auditOf(platform: OwnPlatform, tenantId: string): Promise<string[]> {
  const { client, schema } = await databaseOf(tenantId, platform);
  const { rows } = await client.query<{ log_id: string }>(
    `SELECT log_id FROM ${schema}.audit_log ${schema === 'shared' ? 'WHERE tenant_id = $1' : ''} ORDER BY 1`,
    schema === 'shared' ? [tenantId] : [],
  );
  await client.end();
  return rows.map(({ log_id: logId }) => logId);
}

/** What the tenant is, to its operator and to its users. */
async function stateOf(platform: OwnPlatform, slug: string) {
  const api = await platform.client();
  const {
    epoch: _e,
    cellId: _c,
    executionArn: _x,
    updatedAt: _u,
    apiUrl: _a,
    ...tenant
  } = await api.get<Body>(`/tenants/${slug}`);
  const user = await platform.client({ tenantId: tenant.tenantId, email: `admin@${slug}.test` });
  return {
    tenant,
    users: (await api.list<Body>(`/tenants/${slug}/users`)).map(({ lastLoginAt: _, ...one }) => one),
    employees: await user.list<Body>('/employees'),
    teams: await user.list('/teams'),
    skills: await user.list('/skills'),
    audited: await auditOf(platform, tenant.tenantId),
  };
}

test('its tenants come back from the copies of their backups', async () => {
  const api = await lost.client();
  await api.patch('/tenants/globex', {
    maxUsers: 321,
    monthlyRevenue: 4321.5,
    features: { beta: { on: true } },
    complianceRequirements: ['gdpr'],
  });
  await api.post('/tenants/globex/users', { email: 'later@globex.test', role: 'viewer' });
  const backups = new Map<string, string>();
  for (const slug of SLUGS) backups.set(slug, await backUp(slug));
  const before = await Promise.all(SLUGS.map((slug) => stateOf(lost, slug)));
  const epochs = await Promise.all(
    SLUGS.map(async (slug) => (await api.get<Body>(`/tenants/${slug}`)).epoch),
  );
  const copies = await copiesOf(lost);
  for (const { audited, employees } of before) {
    expect(audited).not.toEqual([]);
    expect(employees.some(({ ssn }) => typeof ssn === 'string')).toBe(true);
  }
  // The worker of each minute copies keys.
  expect(await runOn(lost, 'tick', 'field-rotation')).toMatchObject({ code: 0 });
  const keys = leftKeys(lost);
  // Of the copies' bucket, and of the encrypted fields of the region and of its Enterprise tenant.
  expect(keys).toHaveLength(3);
  await lost.stop();

  await keepKeys(next, keys);
  await next.start('--empty');
  await putBack(next, copies);
  const seen = await run('reconcile');
  expect(seen.out).toContain('3 differences, 0 mended');
  const left = await run('reconcile', '--apply');
  expect([left.code, left.out.includes('tenant-only-backed-up')]).toEqual([1, true]);
  const registered = await run('reconcile', '--apply', '--register-lost');
  expect([registered.code, registered.error]).toEqual([0, '']);
  expect(registered.out).toContain('6 differences, 6 mended');
  const operator = await next.client();
  for (const [index, slug] of SLUGS.entries()) {
    expect(await operator.get(`/tenants/${slug}`)).toMatchObject({
      tenantId: before[index]!.tenant.tenantId,
      status: 'failed',
      restoreFrom: backups.get(slug),
    });
  }

  // One by hand, as an operator without our command line does it.
  const { name, tier, dataResidency, billingEmail, complianceRequirements, tenantId } = before[0]!.tenant;
  const adminEmail = 'admin@initech.test';
  const input = {
    name,
    slug: 'initech',
    adminEmail,
    tier,
    dataResidency,
    billingEmail,
    complianceRequirements,
  };
  const onboarding = await next.finished(await next.startOnboarding(input));
  expect(onboarding, onboarding.cause).toMatchObject({ status: 'SUCCEEDED' });
  expect(await operator.get('/tenants/initech')).toMatchObject({ tenantId, status: 'suspended' });
  const early = await next.sender({ tenantId, email: adminEmail });
  expect((await early('GET', '/employees')).status).toBe(403);
  const restored = await run('restore', 'initech', '--backup', backups.get('initech')!, '--watch');
  expect([restored.code, restored.error]).toEqual([0, '']);

  // The others in one go, and then nothing is left to do.
  const revived = await run('revive');
  expect([revived.code, revived.error]).toEqual([0, '']);
  expect(revived.out).toContain('2 of 2 tenants brought back');
  expect((await run('revive')).out).toBe('all tenants have their rows\n');

  expect(await Promise.all(SLUGS.map((slug) => stateOf(next, slug)))).toEqual(before);
  for (const [index, slug] of SLUGS.entries()) {
    const { epoch } = await operator.get<Body>(`/tenants/${slug}`);
    expect(epoch).toBeGreaterThan(epochs[index]!);
    const email = `admin@${slug}.test`;
    const send = await next.sender({ tenantId: before[index]!.tenant.tenantId, email });
    const hired = { email: `new@${slug}.test`, firstName: 'Ada', lastName: 'Lovelace' };
    expect((await send('POST', '/employees', hired)).status).toBe(201);
  }
  expect((await run('reconcile')).out).toContain('no difference');

  // Once the fields are encrypted again, they no longer need the copies of the former keys.
  expect(await run('tick', 'field-rotation')).toMatchObject({ code: 0 });
  for (const slug of SLUGS) {
    const rotations = await operator.list<Body>(`/tenants/${slug}/key-rotations`);
    expect(rotations[0]).toMatchObject({ cause: 'key', valuesDamaged: 0 });
    expect(rotations[0].valuesDone).toBeGreaterThan(0);
  }
}, 600_000);
