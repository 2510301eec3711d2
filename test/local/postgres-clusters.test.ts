import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import {
  chmodSync,
  existsSync,
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
import { Client, type ClientConfig } from 'pg';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import type { ClusterServer, ClusterSpec } from '../../infra/local/model.ts';
import { type LocalCertificates, localCertificates } from '../../infra/local/postgres/local-certificates.ts';
import { PostgresClusters } from '../../infra/local/postgres/postgres-clusters.ts';
import { preparePostgresFiles, removeOutsideFiles } from '../../infra/local/postgres/postgres-files.ts';
import { identifyProcess } from '../../infra/local/state/process-identity.ts';
import { claimStateDirectory, prepareStateDirectory } from '../../infra/local/state/state-directory.ts';
import { stateFile } from '../../infra/local/state/state-file.ts';
import { newDirectory } from './running-fixture.ts';

const root = newDirectory();
const stateDir = claimStateDirectory(join(root, 'state'));
prepareStateDirectory(stateDir);
const files = preparePostgresFiles(stateDir);
let certificates: LocalCertificates;
let open: PostgresClusters[] = [];

beforeAll(async () => {
  certificates = await localCertificates(join(stateDir, 'tls'));
});
afterEach(async () => {
  await Promise.all(open.map((clusters) => clusters.stop()));
  open = [];
});
afterAll(() => rmSync(root, { recursive: true, force: true }));

/** A new run of the platform's databases on the same state. */
function newRun(): PostgresClusters {
  const clusters = new PostgresClusters(files, certificates, stateFile(join(stateDir, 'state')), () => {});
  open.push(clusters);
  return clusters;
}

function spec(clusterIdentifier: string, parameters: Record<string, string> = {}): ClusterSpec {
  return {
    clusterIdentifier,
    arn: `arn:aws:rds:us-east-1:000000000000:cluster:${clusterIdentifier}`,
    databaseName: 'strata',
    masterUsername: 'strata_master',
    masterPassword: "it's secret",
    parameters: { 'rds.logical_replication': '1', ...parameters },
  };
}

function masterConnection(server: ClusterServer, change: ClientConfig = {}): ClientConfig {
  return {
    host: server.host,
    port: server.port,
    database: server.databaseName,
    user: server.masterUsername,
    password: "it's secret",
    ssl: { ca: certificates.caCertificate },
    ...change,
  };
}

async function query<T>(connection: ClientConfig, sql: string): Promise<T[]> {
  const client = new Client(connection);
  await client.connect();
  try {
    const { rows } = await client.query(sql);
    return rows as T[];
  } finally {
    await client.end();
  }
}

describe('the master user', () => {
  test('is no superuser, and may do what RDS lets it do', async () => {
    const server = await newRun().create(spec('master'));
    const [role] = await query(
      masterConnection(server),
      'SELECT rolsuper, rolbypassrls, rolcreaterole, rolcreatedb, rolreplication FROM pg_roles WHERE rolname = current_user',
    );
    expect(role).toEqual({
      rolsuper: false,
      rolbypassrls: false,
      rolcreaterole: true,
      rolcreatedb: true,
      rolreplication: true,
    });
    await query(
      masterConnection(server),
      `CREATE ROLE app LOGIN PASSWORD 'p'; GRANT rds_iam TO app; CREATE SCHEMA own; CREATE EXTENSION pgcrypto;
       CREATE PUBLICATION p`,
    );
    await query(masterConnection(server), "SELECT pg_create_logical_replication_slot('s', 'pgoutput')");
    await query(masterConnection(server), "SELECT pg_drop_replication_slot('s')");
    for (const forbidden of [
      'ALTER ROLE app SUPERUSER',
      'ALTER ROLE app BYPASSRLS',
      "COPY (SELECT 1) TO PROGRAM 'true'",
      "ALTER SYSTEM SET work_mem = '1MB'",
      'SET ROLE rdsadmin',
    ]) {
      await expect(query(masterConnection(server), forbidden)).rejects.toMatchObject({ code: '42501' });
    }
  });

  test('gets a new password, and the old one is refused', async () => {
    const clusters = newRun();
    const server = await clusters.create(spec('master'));
    await clusters.setMasterPassword('master', 'another');
    await expect(query(masterConnection(server), 'SELECT 1')).rejects.toMatchObject({ code: '28P01' });
    expect(await query(masterConnection(server, { password: 'another' }), 'SELECT 1 AS one')).toEqual([
      { one: 1 },
    ]);
  });
});

describe('a server', () => {
  test('takes only TLS connections, and proves itself by the local authority', async () => {
    const server = await newRun().create(spec('master'));
    await expect(query(masterConnection(server, { ssl: false }), 'SELECT 1')).rejects.toMatchObject({
      code: '28000',
    });
    await expect(query(masterConnection(server, { ssl: {} }), 'SELECT 1')).rejects.toThrow(/certificate/);
    const [connection] = await query(
      masterConnection(server),
      'SELECT version FROM pg_stat_ssl WHERE pid = pg_backend_pid()',
    );
    expect(connection).toEqual({ version: 'TLSv1.3' });
  });

  test('has the parameters of its parameter group that PostgreSQL knows, and durable writes', async () => {
    const parameters = {
      max_slot_wal_keep_size: '1024',
      'rds.force_ssl': '1',
      max_connections: '{DBInstanceClassMemory/9531392}',
      shared_preload_libraries: 'pg_stat_statements,aurora_only',
      aurora_something: '1',
    };
    const clusters = newRun();
    const settings = async (server: ClusterServer) =>
      query(
        masterConnection(server),
        `SELECT current_setting('wal_level') AS wal, current_setting('max_slot_wal_keep_size') AS keep,
                current_setting('shared_preload_libraries') AS libraries, current_setting('fsync') AS fsync,
                current_setting('synchronous_commit') AS commit`,
      );
    const durable = { fsync: 'on', commit: 'on' };
    expect(await settings(await clusters.create(spec('parameters', parameters)))).toEqual([
      { wal: 'logical', keep: '1GB', libraries: 'pg_stat_statements', ...durable },
    ]);
    // A changed group restarts the server.
    expect(
      await settings(await clusters.create(spec('parameters', { 'rds.logical_replication': '0' }))),
    ).toEqual([{ wal: 'replica', keep: '-1', libraries: '', ...durable }]);
  });

  test('is one of its own: clusters never share a system identifier', async () => {
    const clusters = newRun();
    const servers = await Promise.all(['master', 'parameters'].map((name) => clusters.create(spec(name))));
    const identifiers = await Promise.all(
      servers.map(async (server) => {
        const [row] = await query<{ id: string }>(
          clusters.superuser(server.arn),
          'SELECT system_identifier::text AS id FROM pg_control_system()',
        );
        return row?.id;
      }),
    );
    expect(new Set(identifiers).size).toBe(2);
  });

  test('is started again when it ends by itself', async () => {
    const clusters = newRun();
    const server = await clusters.create(spec('master'));
    const pid = postmasterPid('master');
    process.kill(pid, 'SIGKILL');
    await expect
      .poll(() => query(masterConnection(server), 'SELECT 1 AS one').catch(() => undefined), {
        timeout: 10_000,
      })
      .toEqual([{ one: 1 }]);
    expect(postmasterPid('master')).not.toBe(pid);
  });

  test('is gone with its data after remove', async () => {
    const clusters = newRun();
    const server = await clusters.create(spec('removed'));
    await clusters.remove('removed');
    await clusters.remove('removed');
    expect(clusters.byArn(server.arn)).toBeUndefined();
    expect(existsSync(join(files.clusters, 'removed'))).toBe(false);
    await expect(query(masterConnection(server), 'SELECT 1')).rejects.toMatchObject({ code: 'ECONNREFUSED' });
  });
});

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
    expect(clusters.byIdentifier('killed')).toMatchObject({ port: before.port });
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

async function runInChild(cluster: ClusterSpec): Promise<{ child: ChildProcess; server: ClusterServer }> {
  const script = join(import.meta.dirname, 'fixture', 'database-run.ts');
  const child = spawn(process.execPath, [script, stateDir, JSON.stringify(cluster)], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const [line] = (await once(child.stdout, 'data')) as [Buffer];
  return { child, server: JSON.parse(line.toString()) as ClusterServer };
}

function postmasterPid(clusterIdentifier: string): number {
  const file = join(files.clusters, clusterIdentifier, 'data', 'postmaster.pid');
  return existsSync(file) ? Number.parseInt(readFileSync(file, 'utf8'), 10) : 0;
}
