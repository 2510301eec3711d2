/** What an archive keeps and removes, and that a server's stays below its bound. */
import { existsSync, mkdirSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeEach, describe, expect, test } from 'vitest';
import { archiveBound, internals, stateFile } from '../../infra/local/index.ts';
import { FULL_RUN } from '../full-run.ts';
import { certificates, files, open, query, spec, stateDir, useClusterRuns } from './cluster-runs.ts';
import { newDirectory } from './running-fixture.ts';

const { PostgresClusters, WalArchive } = await internals();

useClusterRuns();

describe('an archive', () => {
  const root = newDirectory();
  let home: string;
  let number = 0;
  beforeEach(() => {
    number += 1;
    home = join(root, `archive-${number}`);
    mkdirSync(home);
  });
  afterAll(() => rmSync(root, { recursive: true, force: true }));

  const segment = (position: number) => `00000001${position.toString(16).toUpperCase().padStart(16, '0')}`;

  /** Of these base backups, each of 100 bytes of data, and of segments of 10 bytes from the first one's on. */
  function archiveOf(bases: { number: number; from: number }[], lastSegment: number) {
    const archive = new WalArchive(home, 50);
    archive.prepare(files);
    for (const { number: base, from } of bases) {
      writeFileSync(archive.baseFile(base), 'packed');
      archive.record({
        number: base,
        label: '',
        startSegment: segment(from),
        stopSegment: segment(from),
        stoppedAt: base,
        dataBytes: 100,
      });
    }
    for (let position = bases[0]!.from; position <= lastSegment; position += 1) {
      writeFileSync(join(archive.walDirectory, segment(position)), '0123456789');
    }
    return archive;
  }
  const segments = (archive: InstanceType<typeof WalArchive>) => readdirSync(archive.walDirectory).sort();

  test('keeps two base backups and the WAL from the start of the older one on', () => {
    const archive = archiveOf(
      [
        { number: 1, from: 1 },
        { number: 2, from: 3 },
        { number: 3, from: 5 },
      ],
      6,
    );
    const history = `${segment(2)}.00000028.backup`;
    for (const name of [history, '00000001.history']) writeFileSync(join(archive.walDirectory, name), '');
    archive.prune();
    expect(archive.bases().map((base) => base.number)).toEqual([2, 3]);
    expect(segments(archive)).toEqual(['00000001.history', ...[3, 4, 5, 6].map(segment)]);
    expect(existsSync(archive.baseFile(1))).toBe(false);
  });

  test('keeps a base backup that a recovery reads, with its WAL, until the recovery has ended', () => {
    const archive = archiveOf(
      [
        { number: 10, from: 1 },
        { number: 20, from: 3 },
        { number: 30, from: 5 },
      ],
      6,
    );
    const reserved = archive.reserve(new Date(19))!;
    expect(reserved.base.number).toBe(10);
    archive.prune();
    expect(archive.bases().map((base) => base.number)).toEqual([10, 20, 30]);
    expect(segments(archive)).toHaveLength(6);
    reserved.release();
    archive.prune();
    expect(archive.bases().map((base) => base.number)).toEqual([20, 30]);
    expect(segments(archive)).toEqual([3, 4, 5, 6].map(segment));
    expect(archive.reserve(new Date(19))).toBeUndefined();
  });

  test('gives up the older of two base backups when both together exceed the bound', () => {
    const archive = archiveOf(
      [
        { number: 1, from: 1 },
        { number: 2, from: 60 },
      ],
      70,
    );
    expect(archive.bytes).toBeGreaterThan(archiveBound(100, 50));
    archive.prune();
    expect(archive.bases().map((base) => base.number)).toEqual([2]);
    expect(archive.bytes).toBeLessThan(archiveBound(100, 50));
  });

  test('loses what a killed run has left half-written, and nothing else', () => {
    const archive = archiveOf([{ number: 1, from: 1 }], 2);
    writeFileSync(join(archive.walDirectory, 'archtemp.1.2'), 'half');
    writeFileSync(archive.baseFile(2), 'whole, but not recorded');
    writeFileSync(`${archive.baseFile(3)}.partial`, 'half');
    const next = new WalArchive(home, 50);
    next.prepare(files);
    expect(segments(next)).toEqual([1, 2].map(segment));
    expect(readdirSync(join(home, 'archive', 'bases')).sort()).toEqual(['1.json', '1.zst']);
  });
});

test.runIf(FULL_RUN)(
  'a server that writes many times its bound stays below it, and can be recovered to each time of its window',
  async () => {
    const renewalBytes = 8 * 1024 * 1024;
    const archiving = { archives: true, renewalBytes };
    const clusters = new PostgresClusters(
      files,
      certificates,
      stateFile(join(stateDir, 'state')),
      () => {},
      archiving,
    );
    open.push(clusters);
    const source = await clusters.create(spec('written'));
    clusters.beginUpkeep();
    const window = () => clusters.restorableWindow(source.arn);
    await expect.poll(window, { timeout: 60_000 }).toBeDefined();
    const first = window()!.earliest;
    await query(clusters.superuser(source.arn), 'CREATE TABLE kept (number int)');
    const archive = new WalArchive(join(files.clusters, 'written'), renewalBytes);
    let written = 0;
    let bound = 0;
    // WAL alone: data that do not grow.
    for (let number = 1; written <= 1.5 * bound; number += 1) {
      await query(
        clusters.superuser(source.arn),
        `INSERT INTO kept VALUES (${number});
       SELECT pg_logical_emit_message(false, 'test', repeat('x', 1024 * 1024)) FROM generate_series(1, 16)`,
      );
      written += 16 * 1024 * 1024;
      await expect.poll(() => archive.isRenewalDue, { timeout: 60_000 }).toBe(false);
      bound = archiveBound(archive.bases().at(-1)!.dataBytes, renewalBytes);
    }
    await expect.poll(() => archive.bytes, { timeout: 60_000 }).toBeLessThan(bound);
    // A new base backup is there before the oldest one is pruned.
    await expect.poll(() => archive.bases().length, { timeout: 60_000 }).toBeLessThanOrEqual(2);
    const { earliest } = window()!;
    expect(earliest.getTime()).toBeGreaterThan(first.getTime());
    const recover = async (clusterIdentifier: string, time: Date) => {
      const { arn } = spec(clusterIdentifier);
      await clusters.recover({ clusterIdentifier, arn, parameters: {}, sourceArn: source.arn, time });
      await clusters.start(arn);
      const [row] = await query<{ count: number }>(
        clusters.superuser(arn),
        'SELECT count(*)::int AS count FROM kept',
      );
      await clusters.remove(arn);
      return row!.count;
    };
    const [all] = await query<{ count: number }>(
      clusters.superuser(source.arn),
      'SELECT count(*)::int AS count FROM kept',
    );
    const atFirst = await recover('earliest', earliest);
    expect(atFirst).toBeGreaterThan(0);
    expect(atFirst).toBeLessThan(all!.count);
    expect(await recover('latest', new Date())).toBe(all!.count);
    await expect(recover('too-early', first)).rejects.toThrow('no base backup is that old');
  },
);
