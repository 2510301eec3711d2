/** A reader of Aurora is a hot standby to PostgreSQL: it answers only what a standby may do, and it can lag. */
import { execFileSync } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import tls from 'node:tls';
import type pg from 'pg';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { StaleEpoch } from '../../functions/database/errors.ts';
import { bootstrapDataDatabase } from '../../functions/database/provisioning/bootstrap-data-database.ts';
import { placeTenant } from '../../functions/database/provisioning/place-tenant.ts';
import { createTenantSchema, tenantSchemaName } from '../../functions/database/provisioning/tenant-schema.ts';
import { DatabasePools } from '../../functions/database/session/pools.ts';
import { runTenantBatch } from '../../functions/database/session/tenant-session.ts';
import { tenantSql } from '../../functions/database/session/tenant-sql.ts';
import { freePort, internals } from '../../infra/local/index.ts';
import { connectAs, LOGINS, provisionMaster } from '../database-server.ts';
import { KnownLogins } from '../isolation/tenant-world.ts';

const {
  configureDataDirectory,
  dataDirectory,
  initializeDataDirectory,
  superuserName,
  localCertificates,
  preparePostgresFiles,
  startServer,
} = await internals();

const superuser = { user: superuserName, password: 'rdsadmin-password' };
const tenantId = randomUUID();
const role = tenantSchemaName(tenantId, 1);
const logins = new Map([[role, { user: role, password: 'tenant-password' }]]);
let directory: string;
const servers: { stop(): Promise<void> }[] = [];
const ports = { writer: 0, reader: 0 };
let owner: pg.Client;
let standby: pg.Client;
let pools: DatabasePools;

beforeAll(async () => {
  directory = mkdtempSync(join(tmpdir(), 'strata-test-standby-'));
  chmodSync(directory, 0o755);
  const files = preparePostgresFiles(directory);
  // The run's own authority, which other tests of this process trust too.
  const certificates = await localCertificates(process.env.STRATA_TEST_TLS ?? directory);
  tls.setDefaultCACertificates([...tls.rootCertificates, certificates.caCertificate]);
  ports.writer = await freePort(undefined, new Set());
  ports.reader = await freePort(undefined, new Set([ports.writer]));
  const configure = (data: string, port: number, more: Record<string, string> = {}) => {
    const settings = {
      listen_addresses: '127.0.0.1',
      unix_socket_directories: '',
      wal_level: 'logical',
      fsync: 'off',
      ssl: 'on',
      ssl_cert_file: 'server.crt',
      ssl_key_file: 'server.key',
      port: String(port),
      ...more,
    };
    const lines = Object.entries(settings).map(([name, value]) => `${name} = '${value}'\n`);
    configureDataDirectory(
      files,
      data,
      {
        settings: lines.join(''),
        hostBasedAuthentication:
          'host all all 127.0.0.1/32 scram-sha-256\nhost replication all 127.0.0.1/32 scram-sha-256\n',
        certificates,
      },
      () => undefined,
    );
  };
  await initializeDataDirectory(files, 'writer', superuser.password);
  const [writer, reader] = [dataDirectory(files.clusters, 'writer'), dataDirectory(files.clusters, 'reader')];
  configure(writer.data, ports.writer);
  let server = await startServer(files, 'writer', writer);
  await provisionMaster({ port: ports.writer, superuser }, 'strata');
  const master = await connectAs({ port: ports.writer }, LOGINS.master, 'strata');
  await bootstrapDataDatabase(master, { ownerPassword: LOGINS.owner.password, shared: false });
  await master.end();
  owner = await connectAs({ port: ports.writer }, LOGINS.owner, 'strata');
  const schema = {
    tenantId,
    schemaName: role,
    roleName: role,
    password: 'tenant-password',
    connectionLimit: 20,
  };
  await createTenantSchema(owner, schema);
  await placeTenant(owner, { ...schema, epoch: 1, isolationModel: 'dedicated' });
  await owner.end();
  await server.stop();
  // A copy of a server that is stopped is a base backup.
  execFileSync('cp', ['-a', dirname(writer.data), dirname(reader.data)]);
  writeFileSync(join(reader.data, 'standby.signal'), '');
  const { user, password } = superuser;
  configure(reader.data, ports.reader, {
    primary_conninfo: `host=127.0.0.1 port=${ports.writer} user=${user} password=${password} sslmode=require`,
  });
  server = await startServer(files, 'writer', writer);
  servers.push(server, await startServer(files, 'reader', reader));
  owner = await connectAs({ port: ports.writer }, LOGINS.owner, 'strata');
  standby = await connectAs({ port: ports.reader }, superuser, 'strata');
  pools = new DatabasePools(new KnownLogins(logins), { cap: 4, pipeline: true });
});
afterAll(async () => {
  await pools?.end();
  await owner?.end();
  await standby?.end();
  for (const server of servers.reverse()) await server.stop();
  rmSync(directory, { recursive: true, force: true });
});

const emails = tenantSql.selectFrom('employees').select('email');
const addressOf = (server: 'writer' | 'reader') => ({
  host: '127.0.0.1',
  port: ports[server],
  database: 'strata',
  secretArn: role,
  poolSize: 2,
});
const read = (server: 'writer' | 'reader', epoch: number) =>
  runTenantBatch(pools, addressOf(server), { tenantId, epoch }, 'read', [emails]);

/** Waits until the reader has applied what the writer has written. */
async function caughtUp(): Promise<void> {
  const { rows } = await owner.query('SELECT pg_current_wal_lsn()::text AS lsn');
  await expect
    .poll(async () => {
      const replayed = await standby.query('SELECT pg_last_wal_replay_lsn() >= $1::pg_lsn AS done', [
        rows[0].lsn,
      ]);
      return replayed.rows[0].done;
    })
    .toBe(true);
}

test('a reader lets a tenant enter for reading, and shows what has been applied there', async () => {
  await runTenantBatch(pools, addressOf('writer'), { tenantId, epoch: 1 }, 'write', [
    tenantSql.insertInto('employees').values({ email: 'a@x.test', first_name: 'A', last_name: 'B' }),
  ]);
  await caughtUp();
  expect((await standby.query('SELECT pg_is_in_recovery() AS standby')).rows).toEqual([{ standby: true }]);
  expect(await read('reader', 1)).toEqual([[{ email: 'a@x.test' }]]);
});

test('a reader that has not heard of a move refuses the new epoch, until it has', async () => {
  await caughtUp();
  await standby.query('SELECT pg_wal_replay_pause()');
  await owner.query('UPDATE tenancy.placement SET epoch = 2 WHERE tenant_id = $1', [tenantId]);
  expect(await read('writer', 2)).toEqual([[{ email: 'a@x.test' }]]);
  await expect(read('reader', 2)).rejects.toBeInstanceOf(StaleEpoch);
  await standby.query('SELECT pg_wal_replay_resume()');
  await caughtUp();
  expect(await read('reader', 2)).toEqual([[{ email: 'a@x.test' }]]);
  await expect(read('reader', 1)).rejects.toBeInstanceOf(StaleEpoch);
});
