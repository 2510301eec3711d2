import { SFNClient, StartExecutionCommand, StopExecutionCommand } from '@aws-sdk/client-sfn';
import { beforeAll, describe, expect, test, vi } from 'vitest';
import { BACKUP_POLICY } from '../../functions/contracts/backup-policy.ts';
import type { Tier } from '../../functions/contracts/tenant.ts';
import { strata } from '../infra/cli/run-command.ts';
import {
  type BackupBody,
  BackupBucketView,
  ended,
  executionOf,
  inDatabaseOf,
  inRegistry,
  lockTables,
} from './backup-runs.ts';
import { MovingTenant } from './moving-tenant.ts';
import { administrator } from './platform-databases.ts';
import { call, onboardOwnTenant, operatorToken, platform, unique, userToken } from './running-platform.ts';

const states = new SFNClient(administrator(platform().awsUrl));
const bucket = new BackupBucketView();
let token: string;
beforeAll(async () => {
  token = await operatorToken();
});

const ask = (slug: string, options: { key?: string; body?: unknown } = {}) =>
  call('POST', `/tenants/${slug}/backups`, {
    token,
    ...(options.body === undefined ? {} : { body: options.body }),
    ...(options.key ? { headers: { 'idempotency-key': options.key } } : {}),
  });

/** Runs the schedule by the command line and waits for the end of the execution that it started. */
async function runFleet() {
  const environment = { AWS_ENDPOINT_URL: platform().awsUrl };
  const { code, out, error } = await strata(['tick', 'fleet-backup'], environment);
  expect([code, error]).toEqual([0, '']);
  expect(out.trim()).toMatch(/^✔ strata-us-fleet-backup {2}.* {2}started \S+$/);
  return executionOf(states, out.trim().split(' ').at(-1) as string);
}

async function backupsOf(slug: string): Promise<BackupBody[]> {
  return (await call('GET', `/tenants/${slug}/backups`, { token })).body.items;
}

const outcomes = (backups: readonly BackupBody[]) => backups.map(({ status }) => status);

// First, while there are few tenants of other files, all of which it backs up too.
test('a daily run backs up every tenant that is due; one that fails is named and blocks nobody; expired ones go', async () => {
  const [starter, damaged, business] = await Promise.all([
    onboardOwnTenant(),
    onboardOwnTenant({ tier: 'business' }),
    onboardOwnTenant({ tier: 'business' }),
  ]);
  const { body: broken } = await call('GET', `/tenants/${damaged}`, { token });
  await inDatabaseOf(broken.tenantId, (schema) => `ALTER TABLE ${schema}.skills RENAME TO skills_gone`);

  const first = await runFleet();

  expect(first).toMatchObject({ status: 'FAILED', error: 'FleetIncomplete' });
  expect(first.cause).toContain(broken.tenantId);
  for (const slug of [starter, business, 'initech', 'globex', 'acme']) {
    const backups = await backupsOf(slug);
    expect(outcomes(backups), slug).toContain('succeeded');
  }
  const [old] = await backupsOf(starter);
  expect(old).toMatchObject({ status: 'succeeded', startedBy: 'schedule' });
  const [failed, ...others] = await backupsOf(damaged);
  expect(others).toEqual([]);
  expect(failed).toMatchObject({ status: 'failed', startedBy: 'schedule', reason: expect.any(String) });

  await inDatabaseOf(broken.tenantId, (schema) => `ALTER TABLE ${schema}.skills_gone RENAME TO skills`);
  const prefix = `tenant-backups/starter/${old.tenantId}/${old.backupId}/`;
  expect(await bucket.objects(prefix)).toContain(`${prefix}manifest.json`);
  await inRegistry(`UPDATE tenant_backups SET expires_at = now() WHERE backup_id = $1`, [old.backupId]);
  // From now on it is not shown, though its objects are still there.
  expect(await backupsOf(starter)).toEqual([]);
  const path = `/tenants/${starter}/backups/${old.backupId}`;
  expect((await call('GET', path, { token })).status).toBe(404);

  await runFleet();

  expect(await bucket.objects(prefix)).toEqual([]);
  expect(await inRegistry('SELECT FROM tenant_backups WHERE backup_id = $1', [old.backupId])).toEqual([]);
  // It is due again without the one that has expired; so is the one that failed; the others are not.
  expect(outcomes(await backupsOf(starter))).toEqual(['succeeded']);
  expect(outcomes(await backupsOf(damaged))).toEqual(['failed', 'succeeded']);
  expect(outcomes(await backupsOf(business))).toEqual(['succeeded']);
}, 300_000);

const DEMO: readonly [slug: string, tier: Tier, model: string][] = [
  ['initech', 'starter', 'shared'],
  ['globex', 'business', 'schema'],
  ['acme', 'enterprise', 'dedicated'],
];

test.each(DEMO)('%s of tier %s is backed up from %s', async (slug, tier, model) => {
  const asked = await ask(slug);
  expect([asked.status, asked.body]).toEqual([202, expect.objectContaining({ status: 'running' })]);
  const location = String(asked.headers.get('location'));
  const { body: tenant } = await call('GET', `/tenants/${slug}`, { token });
  expect(location).toBe(`/tenants/${tenant.tenantId}/backups/${asked.body.backupId}`);

  const backup = await ended(location);

  expect(backup).toMatchObject({
    status: 'succeeded',
    phase: 'finished',
    reason: null,
    tier,
    isolationModel: model,
    lastDrill: null,
    region: 'us',
    rows: expect.any(Number),
    bytes: expect.any(Number),
  });
  expect(backup.rows).toBeGreaterThan(0);
  expect(backup.progress.partsDone).toBe(backup.progress.partsTotal);
  expect(backup.progress).toMatchObject({ rowsDone: backup.rows, bytesDone: backup.bytes });
  const kept = (Date.parse(backup.expiresAt) - Date.parse(backup.startedAt)) / 86_400_000;
  expect(Math.round(kept)).toBe(BACKUP_POLICY[tier].retentionDays);
  expect(await executionOf(states, backup.executionArn)).toMatchObject({ status: 'SUCCEEDED' });
  const objects = await bucket.objects(`tenant-backups/${tier}/${tenant.tenantId}/${backup.backupId}/`);
  expect(objects.filter((key) => key.endsWith('/manifest.json'))).toHaveLength(1);
  expect(objects.length).toBe(backup.progress.partsTotal + 1);

  const { body: page } = await call('GET', `/tenants/${slug}/backups`, { token });
  expect(page.policy).toEqual({ tier, ...BACKUP_POLICY[tier] });
  expect(page.items).toContainEqual(backup);
  if (tier === 'starter') expect(page.window).toBeNull();
  else {
    // It is younger than the retention, so the window begins when it got its place.
    const [{ arrived_at: arrived }] = await inRegistry(
      'SELECT arrived_at FROM tenant_database_routing WHERE tenant_id = $1',
      [tenant.tenantId],
    );
    expect(Date.parse(page.window.from)).toBe(Math.floor(arrived.getTime()));
    expect(Date.parse(page.window.to)).toBeGreaterThanOrEqual(Date.parse(backup.finishedAt));
  }
});

describe('asking for a backup', () => {
  test('again under the same key answers the same backup, another request under it is refused', async () => {
    const slug = await onboardOwnTenant();
    const key = unique('key');
    const first = await ask(slug, { key, body: {} });
    const second = await ask(slug, { key });
    expect([first.status, second.status]).toEqual([202, 202]);
    expect(second.body).toEqual(first.body);
    expect(second.headers.get('location')).toBe(first.headers.get('location'));
    expect((await ended(String(first.headers.get('location')))).status).toBe('succeeded');
    const elsewhere = await ask('initech', { key });
    expect(elsewhere.status).toBe(422);
    const { body: page } = await call('GET', `/tenants/${slug}/backups`, { token });
    expect(page.items).toHaveLength(1);
    await ended(String((await ask(slug)).headers.get('location')));
    const { body: one } = await call('GET', `/tenants/${slug}/backups?limit=1`, { token });
    expect(one.items).toHaveLength(1);
    const next = `/tenants/${slug}/backups?limit=1&cursor=${one.nextCursor}`;
    const { body: two } = await call('GET', next, { token });
    expect(two.items).toHaveLength(1);
    expect(two.items[0].backupId).not.toBe(one.items[0].backupId);
    expect(two.nextCursor).toBeNull();
  });

  test('while one runs is refused', async () => {
    const slug = await onboardOwnTenant();
    const answers = await Promise.all([ask(slug), ask(slug), ask(slug)]);
    expect(answers.map(({ status }) => status).sort()).toEqual([202, 409, 409]);
    const refused = answers.find(({ status }) => status === 409);
    expect(refused?.body).toMatchObject({
      type: 'urn:strata:problem:conflict',
      detail: 'A backup of the tenant is running already.',
    });
    const accepted = answers.find(({ status }) => status === 202);
    expect((await ended(String(accepted?.headers.get('location')))).status).toBe('succeeded');
  });

  const nowhere = '00000000-0000-4000-8000-000000000000';
  test.each([
    ['POST', '/tenants/nobody/backups', 404],
    ['GET', '/tenants/nobody/backups', 404],
    ['GET', `/tenants/${nowhere}/backups`, 404],
    ['GET', `/tenants/initech/backups/${nowhere}`, 404],
    ['GET', '/tenants/initech/backups/not-an-id', 404],
    ['GET', '/tenants/initech/backups?cursor=nonsense', 400],
    ['GET', '/tenants/initech/backups?limit=0', 400],
    ['GET', '/tenants/initech/backups?limit=201', 400],
    ['GET', '/tenants/initech/backups?status=running', 400],
  ])('%s %s is %i', async (method, path, expected) => {
    const answer = await call(method, path, { token });
    expect([answer.status, answer.body.status]).toEqual([expected, expected]);
    expect(answer.body.type).toMatch(/^urn:strata:problem:/);
  });

  test('with a field that is not known is refused, and so is a tenant who asks', async () => {
    expect((await ask('initech', { body: { mode: 'full' } })).status).toBe(400);
    const tenant = await userToken('initech');
    expect((await call('POST', '/tenants/initech/backups', { token: tenant })).status).toBe(403);
    expect((await call('GET', '/tenants/initech/backups', { token: tenant })).status).toBe(403);
  });

  test("another tenant's backup is not found", async () => {
    const slug = await onboardOwnTenant();
    const location = String((await ask(slug)).headers.get('location'));
    await ended(location);
    const backupId = location.split('/').at(-1);
    expect((await call('GET', `/tenants/initech/backups/${backupId}`, { token })).status).toBe(404);
  });

  test.each(['provisioning', 'failed', 'offboarded'])('of a tenant that is %s is refused', async (status) => {
    const slug = await onboardOwnTenant();
    const { body: tenant } = await call('GET', `/tenants/${slug}`, { token });
    await inRegistry('UPDATE tenants SET status = $2 WHERE tenant_id = $1', [tenant.tenantId, status]);
    const answer = await ask(slug);
    const { body: page } = await call('GET', `/tenants/${slug}/backups`, { token });
    await inRegistry('UPDATE tenants SET status = $2 WHERE tenant_id = $1', [tenant.tenantId, 'active']);
    expect([answer.status, answer.body.detail]).toEqual([409, `The tenant is ${status}.`]);
    expect(page.items).toEqual([]);
  });

  test('a suspended tenant keeps its data, so it is backed up', async () => {
    const slug = await onboardOwnTenant();
    await call('PATCH', `/tenants/${slug}`, { token, body: { status: 'suspended' } });
    expect((await ended(String((await ask(slug)).headers.get('location')))).status).toBe('succeeded');
  });
});

test('the window of a tenant that has been in its place for longer than the retention begins with that', async () => {
  const slug = await onboardOwnTenant({ tier: 'business' });
  const { body: tenant } = await call('GET', `/tenants/${slug}`, { token });
  await inRegistry(
    `UPDATE tenant_database_routing SET arrived_at = now() - interval '100 days' WHERE tenant_id = $1`,
    [tenant.tenantId],
  );
  const { body } = await call('GET', `/tenants/${slug}/backups`, { token });
  expect(Date.parse(body.window.to) - Date.parse(body.window.from)).toBe(14 * 86_400_000);
});

describe('an execution', () => {
  test.each(['tenantId', 'slug'])('started by hand names its tenant by %s', async (field) => {
    const slug = await onboardOwnTenant();
    const started = await start({ [field]: slug });
    const { status, output } = await executionOf(states, started);
    expect(status).toBe('SUCCEEDED');
    const { backupId, tenantId } = JSON.parse(String(output));
    const { body } = await call('GET', `/tenants/${slug}/backups/${backupId}`, { token });
    expect(body).toMatchObject({ tenantId, status: 'succeeded', executionArn: started, startedBy: started });
  });

  test.each([
    [{}, 'InvalidBackupInput'],
    [{ tenantId: 'nobody' }, 'InvalidBackupInput'],
    [{ tenantId: 'initech', slug: 'initech' }, 'InvalidBackupInput'],
    [{ tenantId: 'initech', mode: 'full' }, 'InvalidBackupInput'],
  ])('with the input %j fails by name', async (input, error) => {
    const execution = await executionOf(states, await start(input));
    expect(execution).toMatchObject({ status: 'FAILED', error });
    expect(execution.cause).toMatch(/^The input is not valid/);
  });

  test('that is stopped leaves an aborted record, and the next backup begins at once', async () => {
    const slug = await onboardOwnTenant({ tier: 'business' });
    // The lock keeps the worker waiting, so that the execution is stopped in the middle.
    const { body: tenant } = await call('GET', `/tenants/${slug}`, { token });
    const held = await lockTables(tenant.tenantId);
    let location: string;
    try {
      const asked = await ask(slug);
      location = String(asked.headers.get('location'));
      const read = async () => (await call('GET', location, { token })).body;
      await vi.waitUntil(async () => (await read()).phase !== 'planned', { timeout: 30_000 });
      await states.send(new StopExecutionCommand({ executionArn: asked.body.executionArn }));
      const backup = await ended(location);
      expect(backup).toMatchObject({
        status: 'aborted',
        reason: 'The workflow of the backup ended before the backup was done.',
      });
    } finally {
      await held.end();
    }
    expect((await ended(String((await ask(slug)).headers.get('location')))).status).toBe('succeeded');
  });

  test('during a move waits for its end', async () => {
    const tenant = await MovingTenant.create();
    const moved = await tenant.ask({ targetTier: 'business' });
    const backup = await ended(String((await ask(tenant.slug)).headers.get('location')));
    const move = await tenant.ended(String(moved.headers.get('location')));
    expect(move.status).toBe('succeeded');
    expect(backup).toMatchObject({ status: 'succeeded', tier: 'business', isolationModel: 'schema' });
    expect(Date.parse(backup.snapshotAt)).toBeGreaterThanOrEqual(Date.parse(move.finishedAt));
  });
});

async function start(input: object): Promise<string> {
  const stateMachineArn = 'arn:aws:states:us-east-1:000000000000:stateMachine:tenant-backup';
  const started = await states.send(
    new StartExecutionCommand({ stateMachineArn, input: JSON.stringify(input) }),
  );
  return String(started.executionArn);
}

test('the command line starts a backup, follows it, and lists it', async () => {
  const slug = await onboardOwnTenant();
  const environment = { STRATA_API_URL: platform().apiUrl, STRATA_TOKEN: token };
  const backedUp = await strata(['backup', slug, '--watch'], environment);
  expect([backedUp.code, backedUp.error]).toEqual([0, '']);
  expect(backedUp.out).toMatch(new RegExp(`^backup [-0-9a-f]{36} of ${slug} has started\\n`));
  expect(backedUp.out).toMatch(/\nsucceeded in \d.*, \d+ rows?, .* kept until \d{4}-\d{2}-\d{2}\n$/);
  const listed = await strata(['backups', slug, '--json'], environment);
  expect(JSON.parse(listed.out)).toMatchObject([{ status: 'succeeded', tier: 'starter' }]);
});
