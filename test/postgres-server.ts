import { chmodSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { freePort, internals, type LocalCertificates } from '../infra/local/index.ts';

const {
  configureDataDirectory,
  dataDirectory,
  initializeDataDirectory,
  superuserName,
  localCertificates,
  preparePostgresFiles,
  startServer,
} = await internals();

/** One real PostgreSQL for tests: the local platform's, with settings that are unsafe on power loss and quick. */
export interface PostgresServer {
  readonly port: number;
  readonly superuser: { readonly user: string; readonly password: string };
  /** Of the authority that signed its certificate, PEM. */
  readonly certificate: string;
  /** What it has logged so far. */
  log(): string;
  /** Ends all sessions, and answers again once it has resolved. */
  restart(): Promise<void>;
  stop(): Promise<void>;
}

const SETTINGS = {
  listen_addresses: '127.0.0.1',
  unix_socket_directories: '',
  wal_level: 'logical',
  fsync: 'off',
  synchronous_commit: 'off',
  full_page_writes: 'off',
  max_connections: '200',
  max_locks_per_transaction: '256',
  // Tests relocate tenants at the same time.
  max_worker_processes: '32',
  max_logical_replication_workers: '24',
  max_replication_slots: '24',
  max_wal_senders: '24',
  shared_buffers: '128MB',
  timezone: 'UTC',
  log_timezone: 'UTC',
  ssl: 'on',
  ssl_cert_file: 'server.crt',
  ssl_key_file: 'server.key',
};
/** With TLS and without. */
const HOST_BASED_AUTHENTICATION = 'host all all 127.0.0.1/32 scram-sha-256\n';

/** Initialises and starts a server in a new temporary directory; `stop` removes it. */
export async function startPostgresServer(
  settings: Readonly<Record<string, string>> = {},
): Promise<PostgresServer> {
  const directory = mkdtempSync(join(tmpdir(), 'strata-test-postgres-'));
  // PostgreSQL's own user must reach its data.
  chmodSync(directory, 0o755);
  const files = preparePostgresFiles(directory);
  const superuser = { user: superuserName, password: 'rdsadmin-password' };
  const name = 'server';
  await initializeDataDirectory(files, name, superuser.password);
  const paths = dataDirectory(files.clusters, name);
  const certificates = await sharedCertificates();
  const port = await freePort(undefined, new Set());
  const lines = Object.entries({ ...SETTINGS, ...settings, port: String(port) });
  configureDataDirectory(
    files,
    paths.data,
    {
      settings: lines.map(([setting, value]) => `${setting} = '${value}'\n`).join(''),
      hostBasedAuthentication: HOST_BASED_AUTHENTICATION,
      certificates,
    },
    () => undefined,
  );
  let server = await startServer(files, name, paths);
  return {
    port,
    superuser,
    certificate: certificates.caCertificate,
    log: () => readFileSync(paths.log, 'utf8'),
    async restart() {
      await server.stop();
      server = await startServer(files, name, paths);
    },
    async stop() {
      await server.stop();
      rmSync(directory, { recursive: true, force: true });
    },
  };
}

/**
 * One authority for all servers of a run: of two authorities of one name, a client that trusts both finds only the
 * first. Child processes find it through the environment.
 */
export async function sharedCertificates(): Promise<LocalCertificates> {
  process.env.STRATA_TEST_TLS ??= mkdtempSync(join(tmpdir(), 'strata-test-tls-'));
  return localCertificates(process.env.STRATA_TEST_TLS);
}
