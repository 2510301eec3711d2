/**
 * Faults before the commit of a restore. Each fault ends the restore with its error name, or the restore continues
 * after it. The live rows do not change, and a failed restore leaves no objects.
 */
import {
  CopyObjectCommand,
  DeleteObjectCommand,
  GetObjectCommand,
  PutObjectCommand,
  type S3Client,
} from '@aws-sdk/client-s3';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import {
  BackupObjectDamaged,
  BackupObjectMissing,
  ManifestAltered,
  ManifestForeign,
  ManifestMissing,
  ManifestNewer,
} from '../../functions/backups/errors.ts';
import { type BackupManifest, manifestKey, sha256Of } from '../../functions/backups/manifest.ts';
import type { IsolationModel } from '../../functions/contracts/tenant.ts';
import { endMove } from '../../functions/moves/end-move.ts';
import { abortMove } from '../../functions/moves/request-move.ts';
import { toMoveError } from '../../functions/tasks/move-task.ts';
import type { BackedUp } from '../backup/backup-world.ts';
import { clientOf } from '../backup/s3-client.ts';
import { until } from '../enter-tenant.ts';
import { sampled } from '../full-run.ts';
import { type AskedRestore, RestoreWorld, type Rows, restoredTables, secretExists } from './restore-world.ts';
import { damage } from './tenant-rows.ts';

type Backup = BackupManifest & { readonly prefix: string };

let world: RestoreWorld;
let s3: S3Client;
beforeAll(async () => {
  world = await RestoreWorld.start();
  s3 = clientOf(world.backups.bucket.endpoint);
});
afterEach(() => world.backups.bucket.disturb(undefined));
afterAll(async () => {
  s3?.destroy();
  await world?.stop();
});

const location = (Key: string) => ({ Bucket: world.backups.bucket.name, Key });
async function bytesOf(key: string): Promise<Buffer> {
  const { Body } = await s3.send(new GetObjectCommand(location(key)));
  return Buffer.from(await Body!.transformToByteArray());
}
const put = (key: string, Body: Buffer | string) => s3.send(new PutObjectCommand({ ...location(key), Body }));
const remove = (key: string) => s3.send(new DeleteObjectCommand(location(key)));
const replaceBy = (key: string, other: string) =>
  s3.send(new CopyObjectCommand({ ...location(key), CopySource: `${world.backups.bucket.name}/${other}` }));

describe.each(sampled<IsolationModel[]>(['schema'], ['shared', 'schema', 'dedicated']))(
  'a restore of a tenant of the %s model',
  (model) => {
    let tenant: BackedUp;
    let backup: Backup;
    let other: Backup;
    let original: Rows;
    let damaged: Rows;
    let traces: string[];
    let asked: AskedRestore;
    const parts = () => backup.tables.flatMap((table) => table.parts);
    const part = () => parts().find(({ rows, key }) => rows > 0 && key.includes('employees'))!;

    beforeAll(async () => {
      tenant = await world.addTenant(model);
      await world.addRows(tenant.tenantId, 200);
      backup = await world.backUp(tenant, { partBytes: 20_000 });
      other = await world.backUp(await world.addTenant('schema'));
      original = await world.rows(tenant.tenantId, restoredTables);
      await damage(world, tenant, [{ table: 'employees', kind: 'update', part: 1 }]);
      damaged = await world.rows(tenant.tenantId);
    });
    beforeEach(async () => {
      traces = await world.traces(tenant.tenantId);
      asked = await world.ask(tenant.tenantId, { mode: 'replace', backupId: backup.backupId });
    });

    afterEach(async () => {
      // If a test has failed, this ends its restore, so that the next test can begin.
      await endMove(world.registry, asked.restoreId, { stopped: { status: 'failed', reason: 'test ended' } });
    });

    /** Ends the restore as failed, as its workflow does, and checks that it has left no objects. */
    async function expectNothingLeft(reason = 'given up'): Promise<void> {
      expect(await world.rows(tenant.tenantId)).toEqual(damaged);
      const hops = await world.hops(asked);
      await endMove(world.registry, asked.restoreId, { stopped: { status: 'failed', reason } });
      expect(await world.view(asked)).toMatchObject({ status: 'failed', reason });
      expect(await world.rows(tenant.tenantId)).toEqual(damaged);
      expect(await world.traces(tenant.tenantId)).toEqual(traces);
      for (const { source, target } of hops) {
        if (target.roleName === source.roleName) continue;
        expect(await secretExists(`strata/tenant/${tenant.tenantId}/${target.roleName}`)).toBe(false);
      }
    }

    /** Runs the restore to its end; afterwards it restores the damaged rows for the next test. */
    async function expectToSucceed(): Promise<void> {
      await world.run(asked);
      await expectRestored();
    }

    async function expectRestored(): Promise<void> {
      expect(await world.view(asked)).toMatchObject({ status: 'succeeded' });
      expect(await world.rows(tenant.tenantId, restoredTables)).toEqual(original);
      const undone = await world.undo(asked);
      expect(await world.rows(tenant.tenantId)).toEqual(damaged);
      for (const { restoreId } of [asked, undone]) await world.cleanUp(restoreId);
    }

    const OBJECTS: readonly (readonly [string, () => Promise<unknown>, new (...values: never[]) => Error])[] =
      [
        [
          'is cut off',
          async () => put(part().key, (await bytesOf(part().key)).subarray(0, -7)),
          BackupObjectDamaged,
        ],
        [
          'has another bit',
          async () => {
            const bytes = await bytesOf(part().key);
            bytes[Math.floor(bytes.length / 2)]! ^= 1;
            await put(part().key, bytes);
          },
          BackupObjectDamaged,
        ],
        [
          'is another object of the backup',
          () => replaceBy(part().key, parts().find(({ key }) => key.includes('certifications'))!.key),
          BackupObjectDamaged,
        ],
        ['is missing', () => remove(part().key), BackupObjectMissing],
      ];

    test.each(OBJECTS)('is refused if an object %s', async (_what, harm, error) => {
      const bytes = await bytesOf(part().key);
      await world.run(asked, '0 fill');
      await harm();
      await expect(world.phase(asked.restoreId, 0, 'fill')).rejects.toThrow(error);
      await put(part().key, bytes);
      await expectNothingLeft();
    });

    const MANIFESTS: readonly (readonly [
      string,
      (text: string) => Promise<unknown>,
      new (...values: never[]) => Error,
    ])[] = [
      [
        'belongs to another tenant',
        () => replaceBy(manifestKey(backup.prefix), manifestKey(other.prefix)),
        ManifestForeign,
      ],
      [
        'has a newer format',
        (text) => put(manifestKey(backup.prefix), text.replace('"formatVersion":1', '"formatVersion":2')),
        ManifestNewer,
      ],
      [
        'is altered',
        (text) => put(manifestKey(backup.prefix), text.replace('"snapshotAt":"2', '"snapshotAt":"1')),
        ManifestAltered,
      ],
      [
        'is altered together with its checksum',
        (text) => {
          const { checksum: _, ...body } = JSON.parse(text) as Record<string, unknown>;
          const changed = { ...body, createdAt: '2026-01-01T00:00:00.000Z' };
          const checksum = sha256Of(JSON.stringify(changed));
          return put(manifestKey(backup.prefix), JSON.stringify({ ...changed, checksum }));
        },
        ManifestAltered,
      ],
      ['is missing', () => remove(manifestKey(backup.prefix)), ManifestMissing],
    ];

    test.each(MANIFESTS)(
      'is refused if the manifest %s, before or after planning',
      async (_what, harm, error) => {
        const text = String(await bytesOf(manifestKey(backup.prefix)));
        await harm(text);
        await expect(world.run(asked)).rejects.toThrow(error);
        await put(manifestKey(backup.prefix), text);
        await world.run(asked, '0 fill');
        await harm(text);
        await expect(world.phase(asked.restoreId, 0, 'fill')).rejects.toThrow(error);
        await put(manifestKey(backup.prefix), text);
        await expectNothingLeft();
      },
    );

    /** Counts the downloads of each object, and disturbs those that `fault` chooses. */
    function watchDownloads(
      fault: (nth: number) => Parameters<typeof world.backups.bucket.disturb>[0] = () => undefined,
    ) {
      const downloads = new Map<string, number>();
      let nth = 0;
      world.backups.bucket.disturb((call) => {
        const key = decodeURIComponent(call.url.split('?')[0]!);
        if (call.method !== 'GET' || !key.endsWith('.zst')) return { kind: 'pass' };
        downloads.set(key, (downloads.get(key) ?? 0) + 1);
        return fault(nth++)?.(call) ?? { kind: 'pass' };
      });
      return downloads;
    }

    test('continues after errors of S3 and broken downloads, and loads each part once', async () => {
      await world.run(asked, '0 fill');
      const downloads = watchDownloads((nth) => () => {
        if (nth % 5 === 1) return { kind: 'busy' };
        return nth === 4 ? { kind: 'cut' } : { kind: 'pass', afterMs: 3 };
      });
      // Retries transient errors, as the workflow does.
      for (let calls = 0; ; calls++) {
        try {
          await world.phase(asked.restoreId, 0, 'fill');
          break;
        } catch (error) {
          expect(toMoveError(error), String(error)).toMatchObject({ name: 'DependencyUnavailable' });
          expect(calls).toBeLessThan(5);
        }
      }
      expect(downloads.size).toBe(parts().filter(({ key }) => !key.includes('audit_')).length);
      await expectToSucceed();
    });

    test('fails with a transient error if S3 stays unavailable, and leaves no objects', async () => {
      await world.run(asked, '0 fill');
      watchDownloads((nth) => () => ({ kind: nth > 2 ? 'busy' : 'pass' }));
      const error = await world.phase(asked.restoreId, 0, 'fill').catch((thrown: unknown) => thrown);
      expect(toMoveError(error)).toMatchObject({ name: 'DependencyUnavailable' });
      world.backups.bucket.disturb(undefined);
      await expectNothingLeft();
    });

    /** Runs the fill until a download has stalled in the middle. */
    async function stalled(nthDownload: number) {
      let release = () => {};
      const released = new Promise<void>((resolve) => {
        release = resolve;
      });
      let reached = () => {};
      const stalling = new Promise<void>((resolve) => {
        reached = resolve;
      });
      const downloads = watchDownloads((nth) => () => {
        if (nth !== nthDownload) return { kind: 'pass' };
        reached();
        return { kind: 'stall', until: released };
      });
      const filling = world.phase(asked.restoreId, 0, 'fill').then(
        () => undefined,
        (error: unknown) => error,
      );
      await stalling;
      return { filling, release, downloads };
    }

    /** Ends the sessions of the restore, like the death of its function or a restart of PostgreSQL. */
    async function endSessions(onlyIdle = false): Promise<void> {
      const { testDatabase } = await world.place(tenant.tenantId);
      await (await world.superuser(testDatabase)).query(
        `SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity
         WHERE datname = current_database() AND application_name LIKE 'strata move %' AND (state = 'idle' OR NOT $1)`,
        [onlyIdle],
      );
    }

    const loadedParts = async () => {
      const [hop] = await world.hops(asked);
      const { testDatabase } = await world.place(tenant.tenantId);
      const { rows } = await (await world.superuser(testDatabase)).query<{ n: number }>(
        `SELECT count(*)::int AS n FROM ${hop!.target.schemaName}.restore_steps WHERE step NOT LIKE 'compared %'`,
      );
      return rows[0]!.n;
    };

    test('whose sessions end in the middle of a download continues with the missing parts', async () => {
      await world.run(asked, '0 fill');
      const { filling, release, downloads } = await stalled(4);
      await until(async () => (await loadedParts()) >= 3);
      await endSessions();
      release();
      expect(toMoveError(await filling)).toMatchObject({ name: 'DependencyUnavailable' });
      const loaded = await loadedParts();
      const before = [...downloads.values()].reduce((sum, n) => sum + n, 0);
      await world.phase(asked.restoreId, 0, 'fill');
      const after = [...downloads.values()].reduce((sum, n) => sum + n, 0);
      expect(after - before).toBe(downloads.size - loaded);
      await expectToSucceed();
    });

    test('loads each part once if the fill runs twice at once and the first run has lost its lock', async () => {
      await world.run(asked, '0 fill');
      const { filling, release } = await stalled(3);
      // This ends the session with the lock, which is idle; the loaders continue.
      await endSessions(true);
      const second = world.phase(asked.restoreId, 0, 'fill').then(
        () => undefined,
        (error: unknown) => error,
      );
      await until(async () => (await loadedParts()) >= 2);
      release();
      for (const error of await Promise.all([filling, second])) {
        if (error)
          expect(toMoveError(error), String(error)).toMatchObject({
            name: expect.stringMatching(/Unavailable|Postponed/),
          });
      }
      await world.phase(asked.restoreId, 0, 'fill');
      await expectToSucceed();
    });

    test('succeeds if each phase runs twice at once', async () => {
      for await (const [name, work] of world.phasesOf(asked)) {
        // The registry serializes `next-hop`, but the test's registry has only one connection.
        if (name === 'next-hop') {
          await work();
          continue;
        }
        const outcomes = await Promise.allSettled([work(), work()]);
        for (const outcome of outcomes) {
          if (outcome.status === 'fulfilled') continue;
          expect(toMoveError(outcome.reason).name, `${name}: ${outcome.reason}`).toMatch(
            /Unavailable|Postponed|Overtaken/,
          );
        }
        // Retried, as the workflow does.
        if (outcomes.every(({ status }) => status === 'rejected')) await work();
      }
      await expectRestored();
    });

    test.each(
      sampled(
        ['0 fill', '0 cut-over'],
        ['0 prepare', '0 fill', '0 copy', '0 index', '0 catch-up', '0 cut-over'],
      ),
    )('that is aborted before %s leaves no objects', async (phase) => {
      await world.run(asked, phase);
      const { restoreId: moveId, tenantId } = asked;
      await abortMove(world.registry, { tenantId, moveId, operator: 'operator' });
      await expect(world.run(asked)).rejects.toMatchObject({ name: 'MoveAborted' });
      await expectNothingLeft();
    });

    test('that is aborted during its fill stops there', async () => {
      await world.run(asked, '0 fill');
      const { filling, release } = await stalled(3);
      const { restoreId: moveId, tenantId } = asked;
      await abortMove(world.registry, { tenantId, moveId, operator: 'operator' });
      release();
      expect(await filling).toMatchObject({ name: 'MoveAborted' });
      await expectNothingLeft();
    });
  },
);
