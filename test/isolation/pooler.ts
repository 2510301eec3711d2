import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { generate } from 'selfsigned';
import { freePort } from '../../infra/local/index.ts';

/** A transaction-pooling PgBouncer in front of a server, with two connections per database and role. */
export interface Pooler {
  readonly port: number;
  /** PEM; clients must speak TLS, as RDS Proxy demands. */
  readonly certificate: string;
  stop(): Promise<void>;
}

export const poolerInstalled = existsSync('/usr/sbin/pgbouncer');

/** @param logins every role that will sign in, with its password. */
export async function startPooler(
  serverPort: number,
  logins: readonly { user: string; password: string }[],
  poolSize: number,
): Promise<Pooler> {
  const directory = mkdtempSync(join(tmpdir(), 'strata-pooler-'));
  // PgBouncer refuses to run as root; whoever it becomes must reach its files.
  chmodSync(directory, 0o755);
  const port = await freePort(undefined, new Set());
  const { cert, private: key } = await generate([{ name: 'commonName', value: 'localhost' }], {
    algorithm: 'sha256',
    extensions: [
      { name: 'basicConstraints', cA: true },
      { name: 'subjectAltName', altNames: [{ type: 7, ip: '127.0.0.1' }] },
    ],
  });
  const file = (name: string, content: string) => {
    const path = join(directory, name);
    writeFileSync(path, content, { mode: 0o644 });
    return path;
  };
  const configuration = file(
    'pgbouncer.ini',
    `[databases]
* = host=127.0.0.1 port=${serverPort}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = ${port}
unix_socket_dir =
auth_type = scram-sha-256
auth_file = ${file('users.txt', logins.map(({ user, password }) => `"${user}" "${password}"`).join('\n'))}
pool_mode = transaction
default_pool_size = ${poolSize}
max_client_conn = 500
server_reset_query =
client_tls_sslmode = require
client_tls_cert_file = ${file('tls.crt', cert)}
client_tls_key_file = ${file('tls.key', key)}
logfile = ${join(directory, 'log')}
`,
  );
  const asUser = process.getuid?.() === 0 ? ['-u', unprivilegedUser()] : [];
  file('log', '');
  chmodSync(join(directory, 'log'), 0o666);
  const bouncer: ChildProcess = spawn('/usr/sbin/pgbouncer', [...asUser, '-q', configuration], {
    stdio: 'ignore',
  });
  await listening(port, bouncer, join(directory, 'log'));
  return {
    port,
    certificate: cert,
    async stop() {
      const ended = once(bouncer, 'exit');
      bouncer.kill('SIGINT');
      await ended;
      rmSync(directory, { recursive: true, force: true });
    },
  };
}

function unprivilegedUser(): string {
  try {
    execFileSync('id', ['-u', 'postgres'], { stdio: 'ignore' });
    return 'postgres';
  } catch {
    return 'nobody';
  }
}

/** Waits for the log to say that it listens: the process says nothing on its own. */
async function listening(port: number, bouncer: ChildProcess, log: string): Promise<void> {
  const { watch } = await import('node:fs/promises');
  const controller = new AbortController();
  bouncer.once('exit', () => controller.abort());
  const said = () => readFileSync(log, 'utf8').includes(`listening on 127.0.0.1:${port}`);
  try {
    const changes = watch(log, { signal: controller.signal });
    if (said()) return;
    for await (const _ of changes) if (said()) return;
  } catch {
    throw new Error(`pgbouncer ended: ${readFileSync(log, 'utf8')}`);
  } finally {
    controller.abort();
  }
}
