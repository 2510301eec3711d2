/**
 * One postmaster.
 *
 * States: stopped → starting → ready → stopping → stopped; ready → stopped when it ends unexpectedly. `postmaster.pid`
 * distinguishes the server from a stale one of a killed run, as in pg_ctl. Its output goes straight to a file, so that
 * it depends on this process neither to run nor to shut down in order.
 */
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { closeSync, openSync, readdirSync, readFileSync, readlinkSync, rmSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { PostgresError, systemCode } from '../errors.ts';
import { identifyProcess, isAlive } from '../state/process-identity.ts';
import type { DataDirectory } from './data-directory.ts';
import type { PostgresFiles } from './postgres-files.ts';

export interface ServerProcess {
  pid: number;
  /** Resolves when it has ended, for any reason. */
  ended: Promise<void>;
  /** Makes it reload its configuration, in a moment. */
  reload(): void;
  /** Fast shutdown: open transactions are rolled back, everything acknowledged is on disk. */
  stop(): Promise<void>;
}

export interface StartOptions {
  /** How often to try while backends of a killed postmaster hold its shared memory, a fifth of a second apart. */
  attempts?: number | undefined;
  /** How long it may take until it accepts connections, in ms. */
  limit?: number;
  /** Ends a server that is starting. */
  signal?: AbortSignal;
}

/** Postmasters of this process; always stopped at its exit. */
const running = new Set<number>();
process.on('exit', () => {
  for (const pid of running) signal(pid, 'SIGINT');
});

/**
 * Starts the server, whose stale predecessor must be gone, and waits until it accepts connections (also through crash
 * recovery).
 * @throws {PostgresError} with the server's own reason
 */
export async function startServer(
  files: PostgresFiles,
  name: string,
  directory: DataDirectory,
  { attempts = 25, limit = 120_000, signal }: StartOptions = {},
): Promise<ServerProcess> {
  for (let attempt = 1; ; attempt++) {
    const logStart = statSync(directory.log, { throwIfNoEntry: false })?.size ?? 0;
    const child = spawnServer(files, directory);
    if (await becomesReady(child, directory.data, limit, signal)) return serverProcess(child);
    signal?.throwIfAborted();
    const reason = reasonInLog(directory.log, logStart);
    // Backends of a killed postmaster need a moment to notice and to release the shared memory.
    if (attempt < attempts && /shared memory block .* is still in use/.test(reason)) {
      await delay(200);
      continue;
    }
    throw new PostgresError(
      `PostgreSQL of database cluster ${name} did not start: ${reason} (log: ${directory.log})`,
    );
  }
}

/** Stops a postmaster that a killed run left on this data directory. Does nothing when there is none. */
export async function stopStaleServer(data: string): Promise<void> {
  const pidFile = join(data, 'postmaster.pid');
  const pid = Number(readPidFile(pidFile)?.[0]);
  if (!Number.isInteger(pid) || pid <= 0) return;
  const identity = identifyProcess(pid);
  if (!identity || !commandLine(pid).includes(data)) return forget(pid, pidFile, data);
  for (const [order, patience] of [
    ['SIGINT', 20_000],
    ['SIGQUIT', 5_000],
    ['SIGKILL', 5_000],
  ] as const) {
    signal(pid, order);
    for (const limit = Date.now() + patience; Date.now() < limit; await delay(20)) {
      if (!isAlive(identity)) return forget(pid, pidFile, data);
    }
  }
  throw new PostgresError(
    `cannot stop the PostgreSQL server (process ${pid}) that an earlier run left on ${data}`,
  );
}

/**
 * Removes the pid file of a dead postmaster whose process id exists again: as another process, or as a zombie that is
 * not reaped (in a container without an init process). PostgreSQL would treat either as a living postmaster. The file
 * may be removed only when no backend is left, because it protects against a second server beside them.
 */
async function forget(pid: number, pidFile: string, data: string): Promise<void> {
  if (!exists(pid)) return;
  for (const limit = Date.now() + 10_000; Date.now() < limit && isWorkedIn(data); await delay(50));
  if (Number(readPidFile(pidFile)?.[0]) === pid) rmSync(pidFile, { force: true });
}

/** True when a process has the data directory as its working directory, as every PostgreSQL process has. */
function isWorkedIn(data: string): boolean {
  if (process.platform !== 'linux') return false;
  return readdirSync('/proc').some((entry) => {
    try {
      return /^\d+$/.test(entry) && readlinkSync(`/proc/${entry}/cwd`) === data;
    } catch {
      return false;
    }
  });
}

function exists(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}

function spawnServer(files: PostgresFiles, directory: DataDirectory): ChildProcess {
  const log = openSync(directory.log, 'a', 0o600);
  try {
    return spawn(join(files.bin, 'postgres'), ['-D', directory.data], {
      ...files.user,
      cwd: '/',
      env: { PATH: process.env.PATH, LC_ALL: 'C', TZ: 'UTC' },
      stdio: ['ignore', log, log],
      // Its own process group: Ctrl-C in the terminal must reach this process first, not the databases.
      detached: true,
    });
  } finally {
    closeSync(log);
  }
}

async function becomesReady(
  child: ChildProcess,
  data: string,
  patience: number,
  stopping?: AbortSignal,
): Promise<boolean> {
  let ended = false;
  const gone = new Promise<void>((resolve) => {
    const end = () => {
      ended = true;
      resolve();
    };
    child.once('exit', end);
    child.once('error', end);
  });
  const pidFile = join(data, 'postmaster.pid');
  for (const limit = Date.now() + patience; Date.now() < limit && !ended; await delay(10)) {
    if (stopping?.aborted) {
      child.kill('SIGQUIT');
      await gone;
      return false;
    }
    const lines = readPidFile(pidFile);
    if (Number(lines?.[0]) === child.pid && lines?.[7]?.trim() === 'ready') return true;
  }
  if (!ended) child.kill('SIGKILL');
  return false;
}

function serverProcess(child: ChildProcess): ServerProcess {
  const pid = child.pid!;
  running.add(pid);
  const ended = new Promise<void>((resolve) => {
    const finish = () => {
      running.delete(pid);
      resolve();
    };
    if (child.exitCode !== null || child.signalCode !== null) finish();
    else child.once('exit', finish);
  });
  return {
    pid,
    ended,
    reload: () => signal(pid, 'SIGHUP'),
    async stop() {
      for (const [order, patience] of [
        ['SIGINT', 20_000],
        ['SIGQUIT', 5_000],
      ] as const) {
        signal(pid, order);
        const timer = new AbortController();
        const inTime = await Promise.race([
          ended.then(() => true),
          delay(patience, false, { signal: timer.signal }).catch(() => false),
        ]);
        timer.abort();
        if (inTime) return;
      }
      signal(pid, 'SIGKILL');
      await ended;
    },
  };
}

function signal(pid: number, name: NodeJS.Signals): void {
  try {
    process.kill(pid, name);
  } catch (cause) {
    if (systemCode(cause) !== 'ESRCH') throw cause;
  }
}

function readPidFile(path: string): string[] | undefined {
  try {
    return readFileSync(path, 'utf8').split('\n');
  } catch {
    return undefined;
  }
}

function commandLine(pid: number): string {
  try {
    if (process.platform === 'linux') return readFileSync(`/proc/${pid}/cmdline`, 'utf8');
    return execFileSync('ps', ['-o', 'command=', '-p', String(pid)], { encoding: 'utf8' });
  } catch {
    return '';
  }
}

function reasonInLog(path: string, from: number): string {
  const lines = readFileSync(path).subarray(from).toString('utf8').trim().split('\n');
  const telling = lines.findLast((line) => /FATAL|PANIC|error while loading|No such file/.test(line));
  return (telling ?? lines.at(-1) ?? 'no reason given').replace(/^.*?(FATAL|PANIC):\s*/, '');
}
