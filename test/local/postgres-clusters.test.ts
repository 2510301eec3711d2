import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { Client } from 'pg';
import { describe, expect, test } from 'vitest';
import { auroraParameters } from '../../infra/constructs/aurora-cluster.ts';
import { type ClusterServer, internals } from '../../infra/local/index.ts';
import {
  files,
  masterConnection,
  newRun,
  postmasterPid,
  query,
  spec,
  useClusterRuns,
} from './cluster-runs.ts';

const { dataDirectory } = await internals();

useClusterRuns();

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
      rolreplication: false,
    });
    await query(
      masterConnection(server),
      `CREATE ROLE app LOGIN PASSWORD 'p'; GRANT rds_iam TO app; CREATE SCHEMA own; CREATE EXTENSION pgcrypto;
       CREATE PUBLICATION p`,
    );
    for (const forbidden of [
      'ALTER ROLE app SUPERUSER',
      'ALTER ROLE app BYPASSRLS',
      'ALTER ROLE app REPLICATION',
      "COPY (SELECT 1) TO PROGRAM 'true'",
      "ALTER SYSTEM SET work_mem = '1MB'",
      'SET ROLE rdsadmin',
    ]) {
      await expect(query(masterConnection(server), forbidden)).rejects.toMatchObject({ code: '42501' });
    }
  });

  test('creates pg_stat_statements, which PostgreSQL reserves for superusers, and no role of its own does', async () => {
    const server = await newRun().create(spec('master'));
    const create = 'CREATE EXTENSION IF NOT EXISTS pg_stat_statements SCHEMA statistics';
    await query(
      masterConnection(server),
      `CREATE ROLE extender LOGIN PASSWORD 'p'; CREATE SCHEMA statistics;
       GRANT USAGE, CREATE ON SCHEMA statistics TO extender;
       DO $$ BEGIN EXECUTE format('GRANT CREATE ON DATABASE %I TO extender', current_database()); END $$`,
    );
    const extender = masterConnection(server, { user: 'extender', password: 'p' });
    await expect(query(extender, create)).rejects.toMatchObject({ code: '42501' });
    await query(masterConnection(server), create);
    await query(masterConnection(server), create);
    const [extension] = await query(
      masterConnection(server),
      `SELECT extowner::regrole::text AS owner, extnamespace::regnamespace::text AS schema FROM pg_extension
       WHERE extname = 'pg_stat_statements'`,
    );
    expect(extension).toEqual({ owner: 'rdsadmin', schema: 'statistics' });
    const other = 'CREATE EXTENSION IF NOT EXISTS amcheck SCHEMA statistics';
    await expect(query(masterConnection(server), other)).rejects.toMatchObject({ code: '42501' });
  });

  test('lends the right to replicate by rds_replication, as RDS does: its members have it, nobody else', async () => {
    const server = await newRun().create(spec('master'));
    const as = (user: string, change = {}) => masterConnection(server, { user, password: 'p', ...change });
    const replicates = (user: string) =>
      query(as(user, { replication: 'database' }), 'IDENTIFY_SYSTEM').then(
        () => true,
        ({ code }) => code,
      );
    await query(
      masterConnection(server),
      `CREATE ROLE lender LOGIN CREATEROLE PASSWORD 'p'; GRANT rds_replication TO lender WITH ADMIN OPTION;
       GRANT CREATE ON DATABASE strata TO lender; CREATE SCHEMA of_master`,
    );
    // What the master lends is lent on, in one transaction with the rest of a publication.
    await query(
      as('lender'),
      `CREATE ROLE reader LOGIN PASSWORD 'p'; GRANT rds_replication TO reader; CREATE PUBLICATION of_lender`,
    );
    // Who has the attribute alone has it in vain.
    await query(as('lender'), `CREATE ROLE stray LOGIN REPLICATION PASSWORD 'p'; CREATE SCHEMA of_lender`);
    expect(await Promise.all(['lender', 'reader', 'stray'].map(replicates))).toEqual([true, true, '42501']);
    await query(as('lender'), "SELECT pg_create_logical_replication_slot('s', 'pgoutput')");
    await query(as('lender'), "SELECT pg_drop_replication_slot('s')");
    await query(
      as('lender'),
      'REVOKE rds_replication FROM reader; DROP PUBLICATION of_lender; DROP SCHEMA of_lender',
    );
    await query(as('lender'), 'CREATE SCHEMA again');
    expect(await replicates('reader')).toBe('42501');
  });

  test('gets a new password, and the old one is refused', async () => {
    const clusters = newRun();
    const server = await clusters.create(spec('master'));
    await clusters.setMasterPassword(server.arn, 'another');
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
        timeout: 25_000,
      })
      .toEqual([{ one: 1 }]);
    expect(postmasterPid('master')).not.toBe(pid);
  });

  test('comes back though a backend outlives its killed postmaster, which the log tells', async () => {
    const log: string[] = [];
    const server = await newRun((line) => log.push(line)).create(spec('killed'));
    const client = new Client(masterConnection(server));
    client.on('error', () => {});
    await client.connect();
    const { rows } = await client.query<{ pid: number }>('SELECT pg_backend_pid() AS pid');
    const backend = rows[0]?.pid as number;
    // It notices nothing, as one that computes; and it holds the shared memory.
    process.kill(backend, 'SIGSTOP');
    process.kill(postmasterPid('killed'), 'SIGKILL');
    await expect
      .poll(() => log, { timeout: 20_000 })
      .toContainEqual(expect.stringMatching(/trying again in 1 s$/));
    expect(log.join('\n')).toMatch(/killed ended unexpectedly.*shared memory.*trying again in 0.5 s\n/s);
    process.kill(backend, 'SIGKILL');
    await expect
      .poll(() => query(masterConnection(server), 'SELECT 1 AS one').catch(() => []), { timeout: 20_000 })
      .toEqual([{ one: 1 }]);
  });

  test.each([
    ['without a parameter group', {}],
    ['with the parameter group of our clusters', auroraParameters('data')],
    ['with one that would log everything', { log_statement: 'all', log_error_verbosity: 'verbose' }],
  ])('writes no row’s values into its log, %s', async (_, parameters) => {
    const server = await newRun().create(spec('logging', parameters));
    const client = new Client(masterConnection(server));
    client.on('error', () => {});
    await client.connect();
    try {
      await client.query('CREATE TEMP TABLE people (email text UNIQUE CHECK (length(email) < 40))');
      const add = (email: string) => client.query('INSERT INTO people VALUES ($1)', [email]);
      await add('ada@example.test');
      await expect(add('ada@example.test')).rejects.toMatchObject({ code: '23505' });
      await expect(add(`ada@example.test${'x'.repeat(40)}`)).rejects.toMatchObject({ code: '23514' });
      await expect(
        client.query(`DO $$ BEGIN EXECUTE 'INSERT INTO people VALUES (''ada@example.test'')'; END $$`),
      ).rejects.toMatchObject({ code: '23505' });
    } finally {
      await client.end();
    }
    const log = readFileSync(dataDirectory(files.clusters, 'logging').log, 'utf8');
    expect(log).toContain('duplicate key value violates unique constraint');
    expect(log).not.toContain('ada@example.test');
  });

  test('is gone with its data after remove', async () => {
    const clusters = newRun();
    const server = await clusters.create(spec('removed'));
    await clusters.remove(server.arn);
    await clusters.remove(server.arn);
    expect(clusters.byArn(server.arn)).toBeUndefined();
    expect(existsSync(join(files.clusters, 'removed'))).toBe(false);
    await expect(query(masterConnection(server), 'SELECT 1')).rejects.toMatchObject({ code: 'ECONNREFUSED' });
  });
});
