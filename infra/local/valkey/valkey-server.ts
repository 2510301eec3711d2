/**
 * One Valkey (or Redis) server of this machine.
 *
 * States: starting → ready → stopped. It keeps nothing on disk but the file with its process id, by which a later run
 * finds and ends a server that a killed platform has left.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { PlatformError, systemCode } from '../errors.ts';
import { freePort } from '../postgres/free-port.ts';
import { identifyProcess, isAlive, type ProcessIdentity } from '../state/process-identity.ts';

export interface ValkeyUser {
  readonly name: string;
  readonly password: string;
  /** In the form of `ACL SETUSER`, without the password. */
  readonly access: string;
}

export interface ValkeyOptions {
  readonly program: string;
  /** For its certificate's files and its process id. */
  readonly directory: string;
  /** PEM. */
  readonly certificate: string;
  readonly key: string;
  /** There are no others, and no default user. */
  readonly users: readonly ValkeyUser[];
  /** It evicts beyond that, in MB. */
  readonly maxMemoryMb: number;
  /** A port that it had before is preferred. */
  readonly port?: number | undefined;
}

export interface ValkeyServer {
  readonly port: number;
  readonly pid: number;
  /** Ends it and forgets its content. Never rejects. */
  stop(): Promise<void>;
}

const START_LIMIT_MS = 10_000;

/** Servers of this process; always ended at its exit. */
const running = new Set<ChildProcess>();
process.on('exit', () => {
  for (const child of running) child.kill('SIGKILL');
});

/** @throws {PlatformError} with the server's own reason. */
export async function startValkey(options: ValkeyOptions): Promise<ValkeyServer> {
  const { program, directory } = options;
  mkdirSync(directory, { recursive: true, mode: 0o700 });
  await endStale(directory);
  const port = await freePort(options.port, new Set());
  const [certificateFile, keyFile] = [join(directory, 'server.crt'), join(directory, 'server.key')];
  writeFileSync(certificateFile, options.certificate, { mode: 0o600 });
  writeFileSync(keyFile, options.key, { mode: 0o600 });
  // The settings have passwords, so they go through a pipe.
  const child = spawn(program, ['-'], { cwd: directory, stdio: ['pipe', 'pipe', 'pipe'], detached: true });
  let output = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding('utf8').on('data', (text: string) => {
      // Only a start that fails needs it.
      output = (output + text).slice(-4_000);
    });
  }
  const ended = new Promise<void>((resolve) => {
    child.once('exit', () => resolve());
    child.once('error', () => resolve());
  });
  child.stdin.on('error', () => {});
  child.stdin.end(settings(options, { port, certificateFile, keyFile }));
  running.add(child);
  void ended.then(() => running.delete(child));
  const isReady = await Promise.race([accepts(port, START_LIMIT_MS), ended.then(() => false)]);
  if (!isReady || child.pid === undefined) {
    child.kill('SIGKILL');
    const reason = output.trim().split('\n').at(-1) || 'no reason given';
    throw new PlatformError(`${program} did not start: ${reason}`);
  }
  const identity = identifyProcess(child.pid);
  if (identity) writeFileSync(pidFile(directory), JSON.stringify(identity), { mode: 0o600 });
  return {
    port,
    pid: child.pid,
    async stop() {
      child.kill('SIGKILL');
      await ended;
      rmSync(pidFile(directory), { force: true });
    },
  };
}

const pidFile = (directory: string): string => join(directory, 'process.json');

/** A killed platform has left it. */
async function endStale(directory: string): Promise<void> {
  const file = pidFile(directory);
  if (!existsSync(file)) return;
  const identity = JSON.parse(readFileSync(file, 'utf8')) as ProcessIdentity;
  if (isAlive(identity)) {
    try {
      process.kill(identity.pid, 'SIGKILL');
    } catch (cause) {
      if (systemCode(cause) !== 'ESRCH') throw cause;
    }
    for (const limit = Date.now() + 5_000; isAlive(identity) && Date.now() < limit; await delay(10));
  }
  rmSync(file, { force: true });
}

function settings(
  { users, maxMemoryMb }: ValkeyOptions,
  { port, certificateFile, keyFile }: { port: number; certificateFile: string; keyFile: string },
): string {
  return [
    'bind 127.0.0.1',
    'port 0',
    `tls-port ${port}`,
    `tls-cert-file "${certificateFile}"`,
    `tls-key-file "${keyFile}"`,
    'tls-auth-clients no',
    'save ""',
    'appendonly no',
    `maxmemory ${maxMemoryMb}mb`,
    'maxmemory-policy allkeys-lru',
    'user default off',
    ...users.map(({ name, password, access }) => `user ${name} ${access} >${password}`),
    '',
  ].join('\n');
}

async function accepts(port: number, limitMs: number): Promise<boolean> {
  for (const limit = Date.now() + limitMs; Date.now() < limit; await delay(10)) {
    if (await canConnect(port)) return true;
  }
  return false;
}

function canConnect(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ host: '127.0.0.1', port });
    socket.once('connect', () => {
      socket.destroy();
      resolve(true);
    });
    socket.once('error', () => resolve(false));
  });
}
