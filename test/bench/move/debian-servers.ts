import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, rmSync } from 'node:fs';
import { chown, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir, userInfo } from 'node:os';
import { join } from 'node:path';
import pg from 'pg';
import { freePort } from '../../../infra/local/index.ts';

export const BIN = '/usr/lib/postgresql/15/bin';

/** Debian's PostgreSQL 15 with its tools: `apt-get install postgresql-15`. */
export const debianPostgresInstalled = existsSync(join(BIN, 'pg_dump'));

/** A server that trusts whoever reaches its loopback port; gone with `stop`. */
export interface DebianServer {
  readonly port: number;
  connect(database: string): Promise<pg.Client>;
  stop(): Promise<void>;
}

/** As safe as production's (fsync is on), sized as the other servers of the comparison. */
export async function startDebianServer(settings: Readonly<Record<string, string>>): Promise<DebianServer> {
  const data = await mkdtemp(join(tmpdir(), 'strata-bench-debian-'));
  const account = userInfo().uid === 0 ? accountOf('postgres') : undefined;
  if (account) await chown(data, account.uid, account.gid);
  const run = { ...account, cwd: data, env: { ...process.env, LC_ALL: 'C' } };
  execFileSync(
    join(BIN, 'initdb'),
    ['-D', data, '-U', 'postgres', '--auth', 'trust', '-E', 'UTF8', '--locale', 'C'],
    {
      ...run,
      stdio: 'ignore',
    },
  );
  const port = await freePort(undefined, new Set());
  const flags = {
    listen_addresses: '127.0.0.1',
    unix_socket_directories: '',
    port: String(port),
    ...settings,
  };
  const server: ChildProcess = spawn(
    join(BIN, 'postgres'),
    ['-D', data, ...Object.entries(flags).flatMap(([name, value]) => ['-c', `${name}=${value}`])],
    { ...run, stdio: 'ignore' },
  );
  // Where the benchmark ends without stopping it.
  const killWithUs = () => {
    server.kill('SIGKILL');
    rmSync(data, { recursive: true, force: true, maxRetries: 5 });
  };
  process.once('exit', killWithUs);
  const clients: pg.Client[] = [];
  const connect = async (database: string) => {
    const client = new pg.Client({ host: '127.0.0.1', port, user: 'postgres', database });
    client.on('error', () => {});
    await client.connect();
    clients.push(client);
    return client;
  };
  for (let attempt = 0; ; attempt++) {
    try {
      await (await connect('postgres')).query('select 1');
      break;
    } catch (error) {
      if (attempt === 200 || server.exitCode !== null) throw error;
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  }
  return {
    port,
    connect,
    async stop() {
      await Promise.all(clients.map((client) => client.end().catch(() => {})));
      process.off('exit', killWithUs);
      const exit = once(server, 'exit');
      server.kill('SIGQUIT');
      await exit;
      await rm(data, { recursive: true, force: true });
    },
  };
}

/** `pg_dump … | pg_restore …` of one schema, one after the other through a pipe. @returns milliseconds */
export async function dumpAndRestore(
  from: DebianServer,
  to: DebianServer,
  schema: string,
  database: string,
  compression: readonly string[],
): Promise<number> {
  const target = (server: DebianServer) => ['-h', '127.0.0.1', '-p', String(server.port), '-U', 'postgres'];
  const start = performance.now();
  const dump = spawn(join(BIN, 'pg_dump'), [...target(from), '-Fc', ...compression, '-n', schema, database], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const restore = spawn(
    join(BIN, 'pg_restore'),
    [...target(to), '-d', database, '--no-owner', '--no-privileges', '--exit-on-error'],
    { stdio: [dump.stdout, 'ignore', 'inherit'] },
  );
  const [[dumped], [restored]] = await Promise.all([once(dump, 'exit'), once(restore, 'exit')]);
  if (dumped !== 0 || restored !== 0)
    throw new Error(`pg_dump ended with ${dumped}, pg_restore with ${restored}`);
  return performance.now() - start;
}

function accountOf(name: string): { uid: number; gid: number } {
  const id = (flag: string) => Number(execFileSync('id', [flag, name], { encoding: 'utf8' }));
  return { uid: id('-u'), gid: id('-g') };
}
