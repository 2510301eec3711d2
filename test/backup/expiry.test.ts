/** What is no longer kept vanishes from the API and from the bucket alike; all else stays. */
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

/** Objects of a backup that the registry does not know. */
async function unknownBackup(tier: string, names: string[]): Promise<string> {
  const prefix = `tenant-backups/${tier}/${randomUUID()}/${randomUUID()}/`;
  await put(...names.map((name) => `${prefix}${name}`));
  return prefix;
}

/** Written, but without a manifest. */
async function written(of: BackedUp): Promise<RunningBackup> {
  const backup = await world.begin(of);
  await planBackup(backup.context());
  await world.copy(backup);
  return backup;
}

test('a backup goes when its tier’s days are over: objects first, then the record; a neighbour’s stays', async () => {
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

test('from that moment on the API does not know it, whether its objects are deleted yet or not', async () => {
  const { backupId } = await world.backUp(tenant);
  await getBackup(world.registryCalls, tenant.tenantId, backupId);
  await superuser.query('UPDATE tenant_backups SET expires_at = now() WHERE backup_id = $1', [backupId]);
  await expect(getBackup(world.registryCalls, tenant.tenantId, backupId)).rejects.toMatchObject({
    name: 'ResourceNotFound',
  });
});

test('S3 that fails in the middle leaves the record, and the next call goes on', async () => {
  const { prefix, backupId } = await world.backUp(tenant);
  let deletions = 0;
  // The manifest is deleted; the rest is not.
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

test('what a failed backup wrote goes after an hour, its record when the days are over', async () => {
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

test('what a running backup has written stays, however long it takes', async () => {
  const { prefix, backupId } = await written(tenant);
  const before = await keys(prefix);
  await expire({ days: 30 });
  expect(await keys(prefix)).toEqual(before);
  expect(await statusOf(backupId)).toBe('running');
});

test('objects without a manifest that no record explains go once nobody can be writing them', async () => {
  const prefix = await unknownBackup('starter', [
    'employees.0.aaaaaaaa.copy.zst',
    'teams.0.bbbbbbbb.copy.zst',
  ]);
  await expire({ days: 1.9 });
  expect(await keys(prefix)).toHaveLength(2);
  expect(await expire({ days: 2.1 })).toMatchObject({ done: true, backups: 0, objects: 2 });
  expect(await keys(prefix)).toEqual([]);
});

test('a backup that a restored registry does not know stays until its tier’s days are over', async () => {
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

test('what is no backup by its name is not touched', async () => {
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

test('a call that runs out of time says where the next one goes on', async () => {
  const prefixes = [
    await unknownBackup('business', ['teams.0.aaaaaaaa.copy.zst']),
    await unknownBackup('business', ['teams.0.bbbbbbbb.copy.zst']),
    await unknownBackup('starter', ['teams.0.cccccccc.copy.zst']),
  ];
  const answers: Expired[] = [await expire({ days: 3, deadline: performance.now() - 1 })];
  // Records come before the walk through the bucket.
  expect(answers).toEqual([{ done: false, backups: 0, objects: 0 }]);
  let cursor: string | undefined = 'tenant-backups/';
  while (cursor !== undefined) {
    const answer: Expired = await expire({ days: 3, deadline: performance.now() - 1, cursor });
    answers.push(answer);
    expect(answer.cursor).not.toBe(cursor);
    cursor = answer.cursor;
  }
  expect(answers.at(-1)).toMatchObject({ done: true });
  // The first call was for records, and each of the others for one backup.
  expect(answers).toHaveLength(prefixes.length + 1);
  expect(await keys('tenant-backups/')).toEqual([]);
});
