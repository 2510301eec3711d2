import { existsSync, mkdirSync, readdirSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { files, masterConnection, newRun, query, spec, useClusterRuns } from './cluster-runs.ts';

useClusterRuns();

const spares = () => readdirSync(files.clusters).filter((name) => name.startsWith('spare.'));
const systemIdentifier = async (server: Parameters<typeof masterConnection>[0]) =>
  (
    await query<{ id: string }>(
      masterConnection(server),
      'SELECT system_identifier::text AS id FROM pg_control_system()',
    )
  )[0]!.id;

test('clusters take spare directories, each with an identity of its own, and what is left serves a later run', async () => {
  const run = newRun();
  run.prepare(3);
  const [one, two] = await Promise.all([run.create(spec('one')), run.create(spec('two'))]);
  expect(await systemIdentifier(one!)).not.toBe(await systemIdentifier(two!));
  await run.stop();
  const [left] = spares();
  expect(spares()).toHaveLength(1);
  const { ino } = statSync(join(files.clusters, left!, 'data'));
  await newRun().create(spec('three'));
  expect(statSync(join(files.clusters, 'three', 'data')).ino).toBe(ino);
  expect(spares()).toEqual([]);
});

test('a spare that a killed run left half-made is made anew', async () => {
  mkdirSync(join(files.clusters, 'spare.1', 'data'), { recursive: true });
  writeFileSync(join(files.clusters, 'spare.1', 'data', 'PG_VERSION'), '17');
  const run = newRun();
  run.prepare(1);
  const server = await run.create(spec('four'));
  expect(await query(masterConnection(server), 'SELECT 1 AS one')).toEqual([{ one: 1 }]);
  expect(spares()).toEqual([]);
});

test('a half-made spare that nobody makes anew is never taken', async () => {
  mkdirSync(join(files.clusters, 'spare.1', 'data'), { recursive: true });
  const server = await newRun().create(spec('five'));
  expect(await query(masterConnection(server), 'SELECT 1 AS one')).toEqual([{ one: 1 }]);
  expect(existsSync(join(files.clusters, 'spare.1'))).toBe(true);
});
