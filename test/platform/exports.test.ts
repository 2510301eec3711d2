import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { SFNClient, StartExecutionCommand, StopExecutionCommand } from '@aws-sdk/client-sfn';
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import { parseCsv, unpack } from '../export/export-world.ts';
import { sampled } from '../full-run.ts';
import { strata } from '../infra/cli/run-command.ts';
import { BackupBucketView, ended, executionOf, inRegistry, lockTables } from './backup-runs.ts';
import { administrator } from './platform-databases.ts';
import { backUp, rowsOf } from './restore-runs.ts';
import { call, onboardOwnTenant, operatorToken, platform, unique } from './running-platform.ts';

const states = new SFNClient(administrator(platform().awsUrl));
const bucket = new BackupBucketView();
let token: string;
beforeAll(async () => {
  token = await operatorToken();
});

const ask = (slug: string, { key, body }: { key?: string; body?: object } = {}) =>
  call('POST', `/tenants/${slug}/exports`, {
    token,
    ...(body ? { body } : {}),
    ...(key ? { headers: { 'idempotency-key': key } } : {}),
  });

async function download(url: string): Promise<Map<string, Buffer>> {
  const response = await fetch(url);
  expect(response.status).toBe(200);
  return unpack(Buffer.from(await response.arrayBuffer()));
}

/** test/export/round-trip.test.ts has all three models, without a platform. */
const DEMO = [
  ['acme', 'enterprise'],
  ['initech', 'starter'],
  ['globex', 'business'],
] as const;

describe.each(sampled(DEMO.slice(0, 1), [...DEMO]))('%s of tier %s', (slug) => {
  test('is exported with all of its rows, and only those', async () => {
    const asked = await ask(slug);
    expect([asked.status, asked.body]).toEqual([202, expect.objectContaining({ status: 'running' })]);
    const location = String(asked.headers.get('location'));
    const { body: tenant } = await call('GET', `/tenants/${slug}`, { token });
    expect(location).toBe(`/tenants/${tenant.tenantId}/exports/${asked.body.exportId}`);

    const done = await ended(location);

    expect(done).toMatchObject({ status: 'succeeded', phase: 'finished', reason: null, region: 'us' });
    expect(Date.parse(done.snapshotAt)).toBeGreaterThanOrEqual(Date.parse(done.startedAt));
    expect(done.progress).toMatchObject({ partsDone: done.progress.partsTotal, rowsDone: done.rows });
    const kept = (Date.parse(done.expiresAt) - Date.parse(done.startedAt)) / 86_400_000;
    expect(Math.round(kept)).toBe(7);
    expect(await executionOf(states, done.executionArn)).toMatchObject({ status: 'SUCCEEDED' });
    const prefix = `tenant-exports/${tenant.tenantId}/${done.exportId}/`;
    expect(await bucket.objects(prefix)).toEqual([`${prefix}tenant.tar.gz`]);

    const files = await download(done.url);
    const rows = await rowsOf(tenant.tenantId);
    for (const [table, own] of Object.entries(rows)) {
      const [, ...records] = parseCsv(String(files.get(`csv/${table}.csv`)));
      expect(records.length, table).toBe(own.length);
    }
    const { body: page } = await call('GET', `/tenants/${slug}/exports`, { token });
    expect(page.items.map(({ exportId }: { exportId: string }) => exportId)).toContain(done.exportId);
    expect(JSON.stringify(page)).not.toContain('X-Amz-Signature');
  });
});

describe('the link to an archive', () => {
  let location: string;
  beforeAll(async () => {
    const backup = await backUp('initech');
    const asked = await ask('initech', { body: { backupId: backup.backupId } });
    location = String(asked.headers.get('location'));
    expect(await ended(location)).toMatchObject({
      status: 'succeeded',
      backupId: backup.backupId,
      snapshotAt: backup.snapshotAt,
    });
  });

  test('is signed anew at each GET, for 15 minutes, and needs no token', async () => {
    const first = await call('GET', location, { token });
    const url = new URL(first.body.url);
    expect(url.searchParams.get('X-Amz-Expires')).toBe('900');
    const left = Date.parse(first.body.urlExpiresAt) - Date.now();
    expect([left > 890_000, left <= 900_000]).toEqual([true, true]);
    await download(first.body.url);
    const later = () => call('GET', location, { token });
    await vi.waitUntil(async () => (await later()).body.url !== first.body.url, { timeout: 10_000 });
    expect((await later()).headers.get('etag')).toBe(first.headers.get('etag'));
  });

  test('that has expired, or leads elsewhere, is 403', async () => {
    const { body } = await call('GET', location, { token });
    const changed = (change: (url: URL) => void) => {
      const url = new URL(body.url);
      change(url);
      return fetch(url).then(
        async (answer) => `${answer.status} ${/<Code>.*<\/Message>/.exec(await answer.text())}`,
      );
    };
    const dayBefore = new Date(Date.now() - 86_400_000).toISOString().replaceAll(/[-:]|\.\d+/g, '');
    expect(
      await changed(({ searchParams }) => {
        searchParams.set('X-Amz-Date', dayBefore);
        const scope = String(searchParams.get('X-Amz-Credential')).split('/');
        scope[1] = dayBefore.slice(0, 8);
        searchParams.set('X-Amz-Credential', scope.join('/'));
      }),
    ).toBe('403 <Code>AccessDenied</Code><Message>Request has expired</Message>');
    expect(await changed(({ searchParams }) => searchParams.set('X-Amz-Expires', '901'))).toMatch(
      /^403 <Code>SignatureDoesNotMatch/,
    );
    const [backup] = await bucket.objects('tenant-backups/');
    expect(
      await changed((url) => {
        url.pathname = url.pathname.replace(/tenant-exports\/.*/, backup!);
      }),
    ).toMatch(/^403 /);
  });

  test('is not given once the export has expired: it is 404 then', async () => {
    const exportId = location.split('/').at(-1);
    await inRegistry(
      `UPDATE tenant_exports SET expires_at = now() - interval '1 second' WHERE export_id = $1`,
      [exportId],
    );
    expect((await call('GET', location, { token })).status).toBe(404);
    const { body: page } = await call('GET', '/tenants/initech/exports', { token });
    expect(JSON.stringify(page)).not.toContain(exportId);
  });
});

describe('asking for an export', () => {
  test('again under the same key answers the same export, another request under it is refused', async () => {
    const slug = await onboardOwnTenant();
    const key = unique('key');
    const first = await ask(slug, { key, body: {} });
    const second = await ask(slug, { key });
    expect([first.status, second.status]).toEqual([202, 202]);
    expect(second.body).toEqual(first.body);
    expect((await ask('initech', { key })).status).toBe(422);
    expect((await ended(String(first.headers.get('location')))).status).toBe('succeeded');
    const audit = await inRegistry(
      `SELECT action FROM control_audit_log WHERE resource_id = $1 ORDER BY created_at`,
      [first.body.exportId],
    );
    expect(audit.map(({ action }) => action)).toEqual(['export.start', 'export.finish']);
  });

  test('that nobody can have is refused', async () => {
    const unknown = '00000000-0000-4000-8000-000000000000';
    const status = async (answer: Promise<{ status: number }>) => (await answer).status;
    expect(await status(ask('nobody-at-all'))).toBe(404);
    expect(await status(ask('initech', { body: { backupId: unknown } }))).toBe(404);
    expect(await status(ask('initech', { body: { backup: unknown } }))).toBe(400);
    expect(await status(call('GET', `/tenants/initech/exports/${unknown}`, { token }))).toBe(404);
    const foreign = await backUp('globex');
    expect(await status(ask('initech', { body: { backupId: foreign.backupId } }))).toBe(404);
  });

  test('while one runs is 409; a stopped execution frees the tenant, and its objects are no export', async () => {
    const slug = await onboardOwnTenant();
    const { body: tenant } = await call('GET', `/tenants/${slug}`, { token });
    const lock = await lockTables(tenant.tenantId);
    try {
      const first = await ask(slug);
      const location = String(first.headers.get('location'));
      const phase = async () => (await call('GET', location, { token })).body;
      await vi.waitUntil(async () => (await phase()).phase === 'backup', { timeout: 30_000, interval: 50 });
      expect((await ask(slug)).status).toBe(409);
      await states.send(new StopExecutionCommand({ executionArn: first.body.executionArn }));
      const stopped = await ended(location);
      expect(stopped).toMatchObject({
        status: 'aborted',
        url: null,
        reason: expect.stringContaining('ended'),
      });
    } finally {
      await lock.end();
    }
    const next = await ask(slug);
    expect(next.status).toBe(202);
    expect((await ended(String(next.headers.get('location')))).status).toBe('succeeded');
  });

  test('an execution that an operator starts is recorded as one', async () => {
    const stateMachineArn = 'arn:aws:states:us-east-1:000000000000:stateMachine:tenant-export';
    const { executionArn } = await states.send(
      new StartExecutionCommand({ stateMachineArn, input: JSON.stringify({ slug: 'globex' }) }),
    );
    const execution = await executionOf(states, String(executionArn));
    expect(execution).toMatchObject({ status: 'SUCCEEDED' });
    const { exportId } = JSON.parse(String(execution.output));
    const { body } = await call('GET', `/tenants/globex/exports/${exportId}`, { token });
    expect(body).toMatchObject({ status: 'succeeded', startedBy: executionArn });
  });
});

describe('on the command line', () => {
  const directory = mkdtempSync(join(tmpdir(), 'strata-export-command-'));
  afterAll(() => rmSync(directory, { recursive: true }));

  test('export --out waits and downloads the archive, exports lists it', async () => {
    const file = join(directory, 'initech.tar.gz');
    const environment = { STRATA_API_URL: platform().apiUrl, STRATA_TOKEN: token };
    const { code, out } = await strata(['export', 'initech', '--out', file], environment);
    expect(out).toMatch(/^export [0-9a-f-]{36} of initech has started\n/);
    expect([code, out.trimEnd().split('\n').at(-1)]).toEqual([0, `written to ${file}`]);
    expect([...(await unpack(readFileSync(file))).keys()]).toContain('tenant.sql');
    const listed = await strata(['exports', 'initech'], environment);
    expect(listed.out).toContain(/export ([0-9a-f-]{36})/.exec(out)?.[1]);
  });
});
