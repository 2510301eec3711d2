/** Expired backups and garbage are deleted from registry and bucket; everything else is kept. */
import { randomUUID } from 'node:crypto';
import type pg from 'pg';
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest';
import { endBackup } from '../../functions/backups/backup-records.ts';
import { type Expired, expireBackups } from '../../functions/backups/expire-backups.ts';
import { planBackup } from '../../functions/backups/plan-backup.ts';
import { getBackup } from '../../functions/registry/backups.ts';
import { type BackedUp, BackupWorld, type RunningBackup } from './backup-world.ts';

const DAY = 86_400_000;
let world: BackupWorld;
let superuser: pg.Client;
let tenant: BackedUp;
let neighbour: BackedUp;
beforeAll(async () => {
  world = await BackupWorld.start();
  superuser = await world.registry.connect('superuser');
  tenant = await world.addTenant('shared');
  neighbour = await world.addTenant('schema');
});
afterAll(() => world?.stop());
afterEach(async () => {
  world.bucket.disturb(undefined);
  await superuser.query('TRUNCATE tenant_backups CASCADE');
  await world.bucket.store.delete(await keys(''));
});

async function keys(prefix: string): Promise<string[]> {
  const found: string[] = [];
  for await (const { key } of world.bucket.store.list(prefix)) found.push(key);
  return found;
}

const expire = (options: { days?: number; deadline?: number; cursor?: string | undefined } = {}) =>
  expireBackups(world.registryCalls, world.bucket.store, {
    region: 'us',
    now: new Date(Date.now() + (options.days ?? 0) * DAY),
    deadline: options.deadline ?? Number.POSITIVE_INFINITY,
    cursor: options.cursor,
  });

async function statusOf(backupId: string): Promise<string | undefined> {
  const { rows } = await superuser.query('SELECT status FROM tenant_backups WHERE backup_id = $1', [
    backupId,
  ]);
  return rows[0]?.status;
}

const put = async (...names: string[]) => {
  for (const name of names) await world.bucket.store.putText(name, 'content', 'text/plain');
};

/** Objects of a backup that has no row in the registry. */
async function unknownBackup(tier: string, names: string[]): Promise<string> {
  const prefix = `tenant-backups/${tier}/${randomUUID()}/${randomUUID()}/`;
  await put(...names.map((name) => `${prefix}${name}`));
  return prefix;
}

/** A backup with parts, but without a manifest. */
async function written(of: BackedUp): Promise<RunningBackup> {
  const backup = await world.begin(of);
  await planBackup(backup.context());
  await world.copy(backup);
  return backup;
}

test('a backup is deleted after its tier’s retention: objects first, then the record; other tenants’ backups stay', async () => {
  const starter = await world.backUp(tenant);
  const business = await world.backUp(neighbour);
  expect(await expire({ days: 6.9 })).toMatchObject({ done: true, backups: 0, objects: 0 });
  expect(await keys(starter.prefix)).not.toEqual([]);
  const count = (await keys(starter.prefix)).length;
  expect(await expire({ days: 7.1 })).toEqual({ done: true, backups: 1, objects: count });
  expect(await keys(starter.prefix)).toEqual([]);
  expect(await statusOf(starter.backupId)).toBeUndefined();
  expect(await keys(business.prefix)).toContain(`${business.prefix}manifest.json`);
  expect(await statusOf(business.backupId)).toBe('succeeded');
  expect(await expire({ days: 14.1 })).toMatchObject({ done: true, backups: 1 });
  expect(await keys(business.prefix)).toEqual([]);
});

test('after its expiry the API answers 404 for a backup, even if its objects are not deleted yet', async () => {
  const { backupId } = await world.backUp(tenant);
  await getBackup(world.registryCalls, tenant.tenantId, backupId);
  await superuser.query('UPDATE tenant_backups SET expires_at = now() WHERE backup_id = $1', [backupId]);
  await expect(getBackup(world.registryCalls, tenant.tenantId, backupId)).rejects.toMatchObject({
    name: 'ResourceNotFound',
  });
});

test('if S3 fails in the middle, the record stays, and the next call continues', async () => {
  const { prefix, backupId } = await world.backUp(tenant);
  let deletions = 0;
  // Only the manifest is deleted.
  world.bucket.disturb(({ method, url }) =>
    method === 'POST' && url.includes('delete') && ++deletions > 1 ? { kind: 'busy' } : { kind: 'pass' },
  );
  await expect(expire({ days: 8 })).rejects.toThrow();
  const left = await keys(prefix);
  expect(left).not.toEqual([]);
  expect(left).not.toContain(`${prefix}manifest.json`);
  expect(await statusOf(backupId)).toBe('expired');
  world.bucket.disturb(undefined);
  expect(await expire({ days: 8 })).toMatchObject({ done: true, backups: 1, objects: left.length });
  expect(await keys(prefix)).toEqual([]);
  expect(await statusOf(backupId)).toBeUndefined();
});

test('objects of a failed backup are deleted after an hour, its record after the retention', async () => {
  const { backupId, prefix, tenantId } = await written(tenant);
  await world.registryCalls.transaction((transaction) =>
    endBackup(
      transaction,
      { backupId, tenantId },
      { status: 'failed', reason: 'test' },
      {
        id: 'test',
        type: 'workflow',
      },
    ),
  );
  await expire();
  expect(await keys(prefix)).not.toEqual([]);
  await expire({ days: 0.05 });
  expect(await keys(prefix)).toEqual([]);
  expect(await statusOf(backupId)).toBe('failed');
  await expire({ days: 7.1 });
  expect(await statusOf(backupId)).toBeUndefined();
});

test('objects of a running backup are kept, even if it takes long', async () => {
  const { prefix, backupId } = await written(tenant);
  const before = await keys(prefix);
  await expire({ days: 30 });
  expect(await keys(prefix)).toEqual(before);
  expect(await statusOf(backupId)).toBe('running');
});

test('objects without a manifest and without a record are deleted once no execution can be writing them', async () => {
  const prefix = await unknownBackup('starter', [
    'employees.0.aaaaaaaa.copy.zst',
    'teams.0.bbbbbbbb.copy.zst',
  ]);
  await expire({ days: 1.9 });
  expect(await keys(prefix)).toHaveLength(2);
  expect(await expire({ days: 2.1 })).toMatchObject({ done: true, backups: 0, objects: 2 });
  expect(await keys(prefix)).toEqual([]);
});

test('a backup without a record, as after a restore of the registry, is kept for its tier’s retention', async () => {
  const names = ['employees.0.aaaaaaaa.copy.zst', 'manifest.json'];
  const starter = await unknownBackup('starter', names);
  const enterprise = await unknownBackup('enterprise', names);
  await expire({ days: 7.9 });
  expect(await keys(starter)).toHaveLength(2);
  await expire({ days: 8.1 });
  expect(await keys(starter)).toEqual([]);
  await expire({ days: 35.9 });
  expect(await keys(enterprise)).toHaveLength(2);
  await expire({ days: 36.1 });
  expect(await keys(enterprise)).toEqual([]);
});

test('objects whose keys are not those of backups are not deleted', async () => {
  const others = [
    'exports/report.csv',
    'tenant-backups/readme.txt',
    `tenant-backups/starter/${randomUUID()}/notes.txt`,
    `tenant-backups/starter/acme/${randomUUID()}/employees.0.copy.zst`,
    `tenant-backups/Gold9/${randomUUID()}/${randomUUID()}/employees.0.copy.zst`,
    `tenant-backups/starter/${randomUUID()}/${randomUUID()}/deeper/employees.0.copy.zst`,
  ];
  await put(...others);
  await expire({ days: 1_000 });
  expect((await keys('')).sort()).toEqual([...others].sort());
});

test('a call that runs out of time returns the cursor for the next call', async () => {
  const prefixes = [
    await unknownBackup('business', ['teams.0.aaaaaaaa.copy.zst']),
    await unknownBackup('business', ['teams.0.bbbbbbbb.copy.zst']),
    await unknownBackup('starter', ['teams.0.cccccccc.copy.zst']),
  ];
  const answers: Expired[] = [await expire({ days: 3, deadline: performance.now() - 1 })];
  // Records are processed before the objects of the bucket are listed.
  expect(answers).toEqual([{ done: false, backups: 0, objects: 0 }]);
  let cursor: string | undefined = 'tenant-backups/';
  while (cursor !== undefined) {
    const answer: Expired = await expire({ days: 3, deadline: performance.now() - 1, cursor });
    answers.push(answer);
    expect(answer.cursor).not.toBe(cursor);
    cursor = answer.cursor;
  }
  expect(answers.at(-1)).toMatchObject({ done: true });
  // The first call processed records, and each later call one backup.
  expect(answers).toHaveLength(prefixes.length + 1);
  expect(await keys('tenant-backups/')).toEqual([]);
});
