/**
 * The platform killed while a tenant is onboarded and another one moves, and while one is backed up, and while one is
 * exported.
 * `kill-during-*.full.test.ts` kill it at every state of the first two.
 */
import { resolve } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { ClientLoad, type Send } from '../../infra/cli/client-load.ts';
import { FULL_RUN } from '../full-run.ts';
import { strata } from '../infra/cli/run-command.ts';
import { sharedAssembly } from '../infra/synthesized-app.ts';
import { lockTables } from '../platform/backup-runs.ts';
import { tracesOf } from '../platform/tenant-traces.ts';
import { OwnPlatform } from './own-platform.ts';

let platform: OwnPlatform;
beforeAll(async () => {
  const STRATA_ASSEMBLY = (await sharedAssembly('local')).directory;
  platform = new OwnPlatform(resolve(import.meta.dirname, '../..'), undefined, { STRATA_ASSEMBLY });
  await platform.start('--empty');
});
afterAll(() => platform?.stop());

const onboarding = (slug: string, tier: string) => ({
  name: `Tenant ${slug}`,
  slug,
  tier,
  adminEmail: `admin@${slug}.test`,
});

async function tenantId(slug: string): Promise<string> {
  return (await (await platform.client()).get<{ tenantId: string }>(`/tenants/${slug}`)).tenantId;
}

test('killed during an onboarding and a move: no acknowledged write is lost, and both can be finished', async () => {
  expect(
    await platform.finished(await platform.startOnboarding(onboarding('nomad', 'starter'))),
  ).toMatchObject({ status: 'SUCCEEDED' });
  const nomad = await tenantId('nomad');
  const sender = () => platform.sender({ tenantId: nomad, email: 'admin@nomad.test' });
  const load = new ClientLoad(await sender(), { prefix: 'k', writers: 2, readers: 1, restMs: 10 });
  load.start();
  await load.written(5);
  const settler = onboarding('settler', 'business');
  const input = { tenantId: nomad, targetTier: 'business' };
  const [onboarded, moved] = await Promise.all([
    platform.startOnboarding(settler),
    platform.startExecution('tenant-move', input),
  ]);
  await platform.entered(moved, 'Cut over');
  load.forgive();
  await platform.kill();
  await load.stop();
  expect(load.violations).toEqual([]);

  await platform.start();
  const send: Send = await sender();
  // At once, before anything was recovered: a fence ends by itself.
  const written = await send('POST', '/employees', {
    email: 'after@kill.test',
    firstName: 'A',
    lastName: 'B',
  });
  expect(written.status, JSON.stringify(written.body)).toBe(201);
  expect(await load.verify(send)).toEqual([]);
  for (const execution of [onboarded, moved])
    expect((await platform.execution(execution)).status).not.toBe('RUNNING');
  const homes = (await tracesOf(platform, nomad)).filter((trace) => trace.includes(': home '));
  expect(homes).toHaveLength(1);

  // Where the kill came a moment too late, the first execution had done it all.
  const again = await platform.finished(await platform.startExecution('tenant-move', input));
  if (again.error !== 'NothingToMove') expect(again, again.cause).toMatchObject({ status: 'SUCCEEDED' });
  const repeated = await platform.finished(await platform.startOnboarding(settler));
  if (repeated.error !== 'TenantExists') expect(repeated).toMatchObject({ status: 'SUCCEEDED' });
  expect(await load.verify(await sender())).toEqual([]);
  const admin = await platform.client({ tenantId: await tenantId('settler'), email: 'admin@settler.test' });
  expect(await admin.get('/employees')).toMatchObject({ items: [] });
}, 120_000);

interface Backup {
  readonly status: string;
  readonly reason: string | null;
  readonly startedBy: string;
  readonly tier: string;
}

async function backupsOf(slug: string): Promise<Backup[]> {
  return (await (await platform.client()).get<{ items: Backup[] }>(`/tenants/${slug}/backups`)).items;
}

/** `npm run strata -- tick …`; answers the execution of the daily run once it is over. */
async function tick(which: string) {
  const { apiUrl, awsUrl, stateDir } = platform;
  const { code, out, error } = await strata(['tick', which], {
    API_PORT: new URL(apiUrl).port,
    AWS_PORT: new URL(awsUrl).port,
    STRATA_DIR: stateDir,
  });
  expect([code, error]).toEqual([0, '']);
  const [, run = ''] = /^✔ strata-us-fleet-backup .*started (\S+)$/m.exec(out) ?? [];
  return platform.finished(run);
}

test.runIf(FULL_RUN)(
  'killed during a backup: it is aborted, and `tick daily` backs up every tenant that is due, once',
  async () => {
    expect(
      await platform.finished(await platform.startOnboarding(onboarding('dweller', 'starter'))),
    ).toMatchObject({ status: 'SUCCEEDED' });
    // The lock keeps the backup from its end; it goes with the servers.
    const lock = await lockTables(await tenantId('settler'), platform);
    lock.on('error', () => {});
    const backup = await platform.startExecution('tenant-backup', { slug: 'settler' });
    await platform.entered(backup, 'Plan');
    await platform.kill();

    await platform.start();
    expect((await platform.execution(backup)).status).toBe('ABORTED');
    const run = await tick('daily');
    expect(run, run.cause).toMatchObject({ status: 'SUCCEEDED' });
    for (const [slug, tier] of [
      ['nomad', 'business'],
      ['settler', 'business'],
      ['dweller', 'starter'],
    ] as const) {
      const succeeded = (await backupsOf(slug)).filter(({ status }) => status === 'succeeded');
      expect(succeeded, slug).toMatchObject([{ startedBy: 'schedule', tier }]);
    }
    const [dead] = await backupsOf('settler');
    expect(dead).toMatchObject({
      status: 'aborted',
      reason: 'The workflow of the backup ended before the backup was done.',
    });
    // None is due now.
    expect(await tick('daily')).toMatchObject({ status: 'SUCCEEDED' });
    expect(await backupsOf('nomad')).toHaveLength(1);
  },
  120_000,
);

test.runIf(FULL_RUN)(
  'killed during an export: it is aborted with its backup, and the next one succeeds at once',
  async () => {
    const settler = await tenantId('settler');
    // The lock keeps the export's backup from its end; it goes with the servers.
    const lock = await lockTables(settler, platform);
    lock.on('error', () => {});
    const dead = await platform.startExecution('tenant-export', { slug: 'settler' });
    await platform.entered(dead, 'Wait for backup');
    const backups = await backupsOf('settler');
    await platform.kill();

    await platform.start();
    expect((await platform.execution(dead)).status).toBe('ABORTED');
    // Nothing waits for recovery: the next export takes its place.
    const next = await platform.finished(await platform.startExecution('tenant-export', { slug: 'settler' }));
    expect(next, next.cause).toMatchObject({ status: 'SUCCEEDED' });
    const { items } = await (await platform.client()).get<{ items: Backup[] }>('/tenants/settler/exports');
    expect(items).toMatchObject([
      { status: 'aborted', reason: 'The workflow of the export ended before the export was done.' },
      { status: 'succeeded', reason: null },
    ]);
    const later = (await backupsOf('settler')).slice(backups.length - 1);
    expect(later.map(({ status }) => status)).toEqual(['aborted', 'succeeded']);
  },
  120_000,
);
