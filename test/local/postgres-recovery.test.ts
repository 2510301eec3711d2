import { once } from 'node:events';
import {
  chmodSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  realpathSync,
  rmSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { Client } from 'pg';
import { describe, expect, test } from 'vitest';
import { identifyProcess, internals, stateFile } from '../../infra/local/index.ts';
import {
  certificates,
  files,
  masterConnection,
  newRun,
  open,
  postmasterPid,
  query,
  runInChild,
  spec,
  useClusterRuns,
} from './cluster-runs.ts';
import { newDirectory } from './running-fixture.ts';

const {
  PostgresClusters,
  preparePostgresFiles,
  removeOutsideFiles,
  claimStateDirectory,
  prepareStateDirectory,
} = await internals();

useClusterRuns();

describe('a new run', () => {
  test('finds what was acknowledged, on the same port, though the last one left a living server behind', async () => {
    const { child, server: before } = await runInChild(spec('killed'));
    const writer = new Client(masterConnection(before));
    writer.on('error', () => {});
    await writer.connect();
    await writer.query('CREATE TABLE kept (id int); INSERT INTO kept VALUES (7)');
    await writer.query('BEGIN; INSERT INTO kept VALUES (8)');
    child.kill('SIGKILL');
    await once(child, 'exit');
    const left = postmasterPid('killed');
    expect(identifyProcess(left)).toBeDefined();
    const clusters = newRun();
    await clusters.startKnown();
    expect(clusters.byArn(before.arn)).toMatchObject({ port: before.port });
    expect(identifyProcess(left)).toBeUndefined();
    const after = await clusters.create(spec('killed'));
    expect(await query(masterConnection(after), 'SELECT id FROM kept')).toEqual([{ id: 7 }]);
  });

  test('finds what was acknowledged after server and platform were killed together', async () => {
    const { child, server: before } = await runInChild(spec('killed'));
    await query(masterConnection(before), 'INSERT INTO kept VALUES (9)');
    child.kill('SIGKILL');
    process.kill(postmasterPid('killed'), 'SIGKILL');
    await once(child, 'exit');
    const after = await newRun().create(spec('killed'));
    expect(await query(masterConnection(after), 'SELECT id FROM kept')).toEqual([{ id: 7 }, { id: 9 }]);
  });

  test('takes another port when a stranger has taken the old one', async () => {
    const first = newRun();
    const { port } = await first.create(spec('master'));
    await first.stop();
    const stranger = createServer().listen(port, '127.0.0.1');
    await new Promise((resolve) => stranger.once('listening', resolve));
    try {
      const server = await newRun().create(spec('master'));
      expect(server.port).not.toBe(port);
      expect(await query(masterConnection(server), 'SELECT 1 AS one')).toEqual([{ one: 1 }]);
    } finally {
      await new Promise((resolve) => stranger.close(resolve));
    }
  });

  test('does not mistake a stranger for the old server when the system has reused its process id', async () => {
    const first = newRun();
    await first.create(spec('master'));
    const pidFile = join(files.clusters, 'master', 'data', 'postmaster.pid');
    const content = readFileSync(pidFile, 'utf8');
    await first.stop();
    writeFileSync(pidFile, content.replace(/^\d+/, String(process.ppid)), { mode: 0o600 });
    const server = await newRun().create(spec('master'));
    expect(await query(masterConnection(server), 'SELECT 1 AS one')).toEqual([{ one: 1 }]);
  });

  test('redoes a data directory whose initialization was killed', async () => {
    const home = join(files.clusters, 'half-made');
    mkdirSync(join(home, 'data', 'base'), { recursive: true });
    writeFileSync(join(home, 'data', 'PG_VERSION'), '17\n');
    const server = await newRun().create(spec('half-made'));
    expect(await query(masterConnection(server), 'SELECT 1 AS one')).toEqual([{ one: 1 }]);
  });

  test('finishes a cluster that was killed before it had its master user', async () => {
    const first = newRun();
    const { arn } = await first.create(spec('half-made'));
    await query(first.superuser(arn, 'postgres'), 'DROP DATABASE strata; ');
    await first.stop();
    const server = await newRun().create(spec('half-made'));
    expect(await query(masterConnection(server), 'SELECT current_database() AS name')).toEqual([
      { name: 'strata' },
    ]);
  });

  test('says in one line what is wrong with damaged data', async () => {
    const first = newRun();
    await first.create(spec('damaged'));
    await first.stop();
    truncateSync(join(files.clusters, 'damaged', 'data', 'global', 'pg_control'), 10);
    const again = newRun();
    await again.startKnown();
    const failure = await again.create(spec('damaged')).catch((cause: unknown) => cause as Error);
    expect(String(failure)).toMatch(
      /^PostgresError: PostgreSQL of database cluster damaged did not start: .*server\.log\)$/,
    );
    for (const name of readdirSync(join(files.clusters, 'damaged', 'data'))) {
      rmSync(join(files.clusters, 'damaged', 'data', name), { recursive: true });
    }
    await expect(newRun().create(spec('damaged'))).rejects.toThrow(/are gone from .*--fresh$/);
  });
});

// Anybody else runs PostgreSQL as themselves, and can enter what they can enter.
describe.runIf(process.getuid?.() === 0)('started by root in a directory that others cannot enter', () => {
  test('the data live where PostgreSQL’s user reaches them, and --fresh erases them there, too', async () => {
    const closed = newDirectory();
    chmodSync(closed, 0o700);
    const state = claimStateDirectory(join(closed, 'state'));
    prepareStateDirectory(state);
    const elsewhere = preparePostgresFiles(state);
    expect(elsewhere.clusters.startsWith(closed)).toBe(false);
    expect(realpathSync(join(state, 'postgres'))).toBe(elsewhere.clusters);
    const clusters = new PostgresClusters(elsewhere, certificates, stateFile(join(state, 'state')), () => {});
    open.push(clusters);
    const server = await clusters.create(spec('closed'));
    expect(await query(masterConnection(server), 'SELECT 1 AS one')).toEqual([{ one: 1 }]);
    await clusters.stop();
    removeOutsideFiles(state);
    expect(() => preparePostgresFiles(state)).toThrow(/^the databases of .* are gone from .*--fresh$/);
    rmSync(closed, { recursive: true });
  });
});
