/** Faults of an export end it with their error name, or the export continues; no fault leads to a wrong archive. */
import { randomUUID } from 'node:crypto';
import type pg from 'pg';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test, vi } from 'vitest';
import type { ExecutionStatus } from '../../functions/aws/executions.ts';
import { beginExport } from '../../functions/exports/begin-export.ts';
import { ExportInProgress, ExportOvertaken, ExportSourceFailed } from '../../functions/exports/errors.ts';
import { expireExports } from '../../functions/exports/expire-exports.ts';
import { findSource } from '../../functions/exports/export-source.ts';
import { archiveKey } from '../../functions/exports/finish-export.ts';
import { recoverExports } from '../../functions/exports/recover-exports.ts';
import { requestExport } from '../../functions/exports/request-export.ts';
import { getExport } from '../../functions/registry/exports.ts';
import { type BackedUp, BackupWorld } from '../backup/backup-world.ts';
import type { S3Call } from '../backup/local-bucket.ts';
import { begin, parseCsv, startWriter, unpack } from './export-world.ts';

let world: BackupWorld;
let tenant: BackedUp;
let superuser: pg.Client;
let backupId: string;
beforeAll(async () => {
  world = await BackupWorld.start();
  superuser = await world.registry.connect('superuser');
  tenant = await world.addTenant('schema');
  const rows = await tenant.database.connect('superuser');
  await rows.query(
    `INSERT INTO ${tenant.schemaName}.skills (skill_name, description)
     SELECT 'skill ' || n, md5(n::text) FROM generate_series(1, 3000) AS n`,
  );
  ({ backupId } = await world.backUp(tenant, { partBytes: 65_536 }));
});
afterAll(() => world?.stop());
let executions: Map<string, ExecutionStatus>;
beforeEach(() => {
  executions = new Map();
});
afterEach(async () => {
  world.bucket.disturb(undefined);
  await superuser.query('TRUNCATE tenant_exports CASCADE');
  await world.bucket.store.delete(await keys('tenant-exports/'));
});

const statusOf = async (arn: string): Promise<ExecutionStatus> => executions.get(arn) ?? 'none';

async function keys(prefix: string): Promise<string[]> {
  const found: string[] = [];
  for await (const { key } of world.bucket.store.list(prefix)) found.push(key);
  return found;
}

async function skillsOf(prefix: string): Promise<number> {
  const { body } = await world.bucket.store.download(archiveKey(prefix));
  const files = await unpack(Buffer.concat(await body.toArray()));
  return parseCsv(String(files.get('csv/skills.csv'))).length - 1;
}

const recordOf = (exportId: string) => getExport(world.registryCalls, tenant.tenantId, exportId);

describe('a call that is cut off', () => {
  test('by the death of its process: the next call continues after the parts that are written', async () => {
    const run = await begin(world, tenant.tenantId, backupId);
    await run.source();
    world.bucket.disturb(({ method }) => ({ kind: 'pass', ...(method === 'PUT' ? { afterMs: 30 } : {}) }));
    const writer = startWriter(world, run.exportId);
    await vi.waitUntil(async () => (await recordOf(run.exportId)).progress.partsDone > 2, {
      timeout: 30_000,
      interval: 10,
    });
    await writer.kill();
    world.bucket.disturb(undefined);
    const before = await keys(`${run.prefix}parts/`);
    const { progress } = await recordOf(run.exportId);
    expect(progress.partsDone).toBeLessThan(progress.partsTotal);

    expect(await run.write()).toEqual({ done: true });
    const after = await keys(`${run.prefix}parts/`);
    expect(after).toEqual(expect.arrayContaining(before));
    const missing = progress.partsTotal - progress.partsDone;
    expect(after.length).toBe(before.length + 2 * missing);
    await run.finish();
    expect(await skillsOf(run.prefix)).toBe(3_000);
    expect(await keys(run.prefix)).toEqual([archiveKey(run.prefix)]);
  });

  test('in the middle of a part: the next call writes that part again, and no other part', async () => {
    const run = await begin(world, tenant.tenantId, backupId);
    await run.source();
    let uploads = 0;
    const isPart = ({ method, url }: S3Call) => method === 'PUT' && url.includes('/parts/');
    world.bucket.disturb((call) => ({ kind: isPart(call) && ++uploads > 5 ? 'cut' : 'pass' }));
    await expect(run.write()).rejects.toThrow();
    const { progress } = await recordOf(run.exportId);
    expect(progress.partsDone).toBeGreaterThan(0);
    expect(progress.partsDone).toBeLessThan(progress.partsTotal);
    const before = await keys(run.prefix);

    world.bucket.disturb(undefined);
    expect(await run.write()).toEqual({ done: true });
    const written = await keys(run.prefix);
    expect(written).toEqual(expect.arrayContaining(before));
    expect((await recordOf(run.exportId)).progress.partsDone).toBe(progress.partsTotal);
    await run.finish();
    expect(await skillsOf(run.prefix)).toBe(3_000);
    expect(await keys(run.prefix)).toEqual([archiveKey(run.prefix)]);
  });

  test('by its deadline after each part: each part takes one call, and there is one archive', async () => {
    const run = await begin(world, tenant.tenantId, backupId);
    await run.source();
    let calls = 1;
    while (!(await run.write(-1)).done) calls += 1;
    expect(calls).toBe((await recordOf(run.exportId)).progress.partsTotal);
    await run.finish();
    expect(await skillsOf(run.prefix)).toBe(3_000);
  });

  test('while it packs: the next call packs again', async () => {
    const run = await begin(world, tenant.tenantId, backupId);
    await run.source();
    await run.write();
    const isPart = ({ method, url }: S3Call) => method === 'GET' && url.includes('/parts/');
    let downloads = 0;
    world.bucket.disturb((call) => ({ kind: isPart(call) && ++downloads > 3 ? 'cut' : 'pass' }));
    await expect(run.finish()).rejects.toThrow();
    world.bucket.disturb(undefined);
    expect(await recordOf(run.exportId)).toMatchObject({ status: 'running', phase: 'pack' });
    await run.finish();
    await run.finish();
    expect(await recordOf(run.exportId)).toMatchObject({ status: 'succeeded', rows: 3_000 });
    expect(await skillsOf(run.prefix)).toBe(3_000);
  });
});

describe('damage', () => {
  test.each([
    ['other content of the same length', (bytes: Buffer) => Buffer.alloc(bytes.length, 1)],
    ['a shorter object', (bytes: Buffer) => bytes.subarray(1)],
  ])('a written part that is %s by now makes no archive', async (_how, change) => {
    const run = await begin(world, tenant.tenantId, backupId);
    await run.source();
    await run.write();
    const [key] = (await keys(`${run.prefix}parts/`)).filter((name) => name.endsWith('.sql.gz'));
    const { body } = await world.bucket.store.download(key!);
    const bytes = Buffer.concat(await body.toArray());
    await world.bucket.store.putText(key!, change(bytes).toString('latin1'), 'text/plain');
    await expect(run.finish()).rejects.toMatchObject({ name: 'ExportPartDamaged' });
    await world.bucket.store.delete([key!]);
    await expect(run.finish()).rejects.toMatchObject({ name: 'ExportPartDamaged' });
    expect(await keys(archiveKey(run.prefix))).toEqual([]);
  });

  test('a damaged object of the backup becomes no part of the export', async () => {
    const damaged = await world.backUp(tenant);
    const run = await begin(world, tenant.tenantId, damaged.backupId);
    await run.source();
    const [key] = (await keys(damaged.prefix)).filter((name) => name.includes('/skills.'));
    const { body } = await world.bucket.store.download(key!);
    const bytes = Buffer.concat(await body.toArray());
    await world.bucket.store.putText(key!, 'x'.repeat(bytes.length), 'text/plain');
    await expect(run.write()).rejects.toMatchObject({ name: 'BackupObjectDamaged' });
    expect(await recordOf(run.exportId)).toMatchObject({ status: 'running' });
  });
});

describe('the backup of an export', () => {
  const newExport = () =>
    beginExport(world.registryCalls, { tenantId: tenant.tenantId }, `execution:${randomUUID()}`, {
      statusOf,
    });

  test('is a new one, because a backup older than the request would miss rows', async () => {
    const { exportId } = await newExport();
    let asked = 0;
    const request = async () => {
      asked += 1;
      return (await world.begin(tenant)).backupId;
    };
    expect(await findSource(world.registryCalls, exportId, request)).toEqual({ done: false });
    expect(await findSource(world.registryCalls, exportId, request)).toEqual({ done: false });
    expect(asked).toBe(1);
    const { backupId: chosen } = await recordOf(exportId);
    expect(chosen).not.toBe(backupId);
    await superuser.query(
      `UPDATE tenant_backups SET status = 'failed', reason = 'It rained.', finished_at = now() WHERE backup_id = $1`,
      [chosen],
    );
    await expect(findSource(world.registryCalls, exportId, request)).rejects.toThrow(
      new ExportSourceFailed('It rained.'),
    );
  });

  test('that the request names and that expires meanwhile ends the export', async () => {
    const old = await world.backUp(tenant);
    const run = await begin(world, tenant.tenantId, old.backupId);
    expect(await run.source()).toEqual({ done: true });
    await superuser.query(`UPDATE tenant_backups SET status = 'expired' WHERE backup_id = $1`, [
      old.backupId,
    ]);
    await expect(run.write()).rejects.toThrow(ExportSourceFailed);
  });

  test.each(['of another tenant', 'unknown'])('must not be %s', async (which) => {
    const neighbour = await world.addTenant('schema');
    const other = which === 'unknown' ? randomUUID() : (await world.backUp(neighbour)).backupId;
    await expect(begin(world, tenant.tenantId, other)).rejects.toMatchObject({ name: 'ExportSourceUnknown' });
  });
});

describe('records', () => {
  const arn = () => `arn:aws:states:us-east-1:000000000000:execution:tenant-export:${randomUUID()}`;
  async function running(status: ExecutionStatus) {
    const executionArn = arn();
    const { exportId } = await beginExport(
      world.registryCalls,
      { tenantId: tenant.tenantId, backupId },
      executionArn,
      { statusOf },
    );
    executions.set(executionArn, status);
    return exportId;
  }

  test('allow one running export per tenant, by an execution or by a request', async () => {
    await running('running');
    await expect(running('running')).rejects.toThrow(ExportInProgress);
    const request = requestExport(world.registryCalls, tenant.tenantId, {
      actor: { id: 'operator', type: 'operator' },
      stateMachineArn: 'arn:aws:states:us-east-1:000000000000:stateMachine:tenant-export',
      start: async () => {},
      statusOf,
    });
    await expect(request).rejects.toThrow(ExportInProgress);
  });

  test('an export whose execution is dead is aborted, and a call that is still working on it stops', async () => {
    const run = await begin(world, tenant.tenantId, backupId);
    await run.source();
    await run.write();
    expect(await recoverExports(world.registryCalls, { statusOf })).toEqual([run.exportId]);
    expect(await recoverExports(world.registryCalls, { statusOf })).toEqual([]);
    await expect(run.write()).rejects.toThrow(ExportOvertaken);
    await expect(run.finish()).rejects.toThrow(ExportOvertaken);
    expect(await recordOf(run.exportId)).toMatchObject({
      status: 'aborted',
      reason: 'The workflow of the export ended before the export was done.',
    });
    expect(await keys(archiveKey(run.prefix))).toEqual([]);
  });

  test.each([
    ['a part', '/parts/'],
    ['the archive', '/tenant.tar.gz'],
  ])(
    'an export that is aborted while %s is uploaded stays aborted, and has no archive',
    async (what, path) => {
      const run = await begin(world, tenant.tenantId, backupId);
      await run.source();
      if (what === 'the archive') await run.write();
      let recovered: Promise<string[]> | undefined;
      world.bucket.disturb(({ method, url }) => {
        if (method !== 'PUT' || !url.includes(path) || recovered) return { kind: 'pass' };
        recovered = recoverExports(world.registryCalls, { statusOf });
        return { kind: 'pass', afterMs: 500 };
      });
      await expect(what === 'the archive' ? run.finish() : run.write()).rejects.toThrow(ExportOvertaken);
      expect(await recovered).toEqual([run.exportId]);
      expect(await recordOf(run.exportId)).toMatchObject({ status: 'aborted' });
      if (what === 'a part') expect((await recordOf(run.exportId)).progress.partsDone).toBe(0);
      expect(await keys(archiveKey(run.prefix))).toEqual([]);
    },
  );

  test('the daily run deletes an expired archive with its record, and the objects of an aborted export', async () => {
    const expire = (hours: number) =>
      expireExports(world.registryCalls, world.bucket.store, {
        region: 'us',
        now: new Date(Date.now() + hours * 3_600_000),
        deadline: Number.POSITIVE_INFINITY,
      });
    const done = await begin(world, tenant.tenantId, backupId);
    await done.source();
    await done.write();
    await done.finish();
    const given = await begin(world, tenant.tenantId, backupId);
    await given.source();
    await given.write();
    await recoverExports(world.registryCalls, { statusOf });

    expect(await expire(0)).toBe(true);
    expect((await keys(given.prefix)).length).toBeGreaterThan(0);
    expect(await expire(2)).toBe(true);
    expect(await keys(given.prefix)).toEqual([]);
    expect(await keys(done.prefix)).toEqual([archiveKey(done.prefix)]);
    expect(await recordOf(given.exportId)).toMatchObject({ status: 'aborted', phase: 'discarded' });
    expect(await expire(7 * 24 + 1)).toBe(true);
    expect(await keys('tenant-exports/')).toEqual([]);
    const { rows } = await superuser.query('SELECT count(*)::int AS count FROM tenant_exports');
    expect(rows).toEqual([{ count: 0 }]);
  });
});
