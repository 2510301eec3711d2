/**
 * Where one run of the tests keeps its databases and platforms: a directory of its own, in memory where there is
 * enough of it. Creating and dropping databases is thousands of small files, which a disk makes twice as expensive.
 *
 * States: claimed (its name holds the run's process id) → removed by the run's teardown, or by the next run where this
 * one was killed.
 */
import {
  accessSync,
  chmodSync,
  constants,
  globSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  statfsSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { compileCache, identifyProcess, internals } from '../infra/local/index.ts';

const { stopStaleServer } = await internals();

const PREFIX = 'strata-tests-';
const MEMORY = '/dev/shm';
/** About twice what `npm run test:full` has used at most. */
const ENOUGH_BYTES = 6 * 1024 ** 3;

/**
 * Makes this run's directory, once for all projects of the run, and points TMPDIR there: for this process and all that
 * it starts. The directory goes when this process ends.
 */
export async function claimRunDirectory(): Promise<void> {
  if (process.env.TMPDIR?.includes(PREFIX)) return;
  const base = hasRoom(MEMORY) ? MEMORY : tmpdir();
  const self = identifyProcess(process.pid);
  const directory = join(base, `${PREFIX}${process.pid}-${self?.startTime.replaceAll(/\W/g, '_')}`);
  mkdirSync(directory, { recursive: true });
  // PostgreSQL's own user must reach what is inside.
  chmodSync(directory, 0o755);
  process.env.TMPDIR = directory;
  // Hundreds of processes and threads load the same code.
  process.env.NODE_COMPILE_CACHE ??= compileCache;
  process.once('exit', () => {
    endProcesses(directory);
    rmSync(directory, { recursive: true, force: true });
  });
  await removeDeadRuns(base);
}

/** Stops the servers that killed runs have left, and removes those runs' directories. */
async function removeDeadRuns(base: string): Promise<void> {
  for (const name of readdirSync(base).filter((entry) => entry.startsWith(PREFIX))) {
    const directory = join(base, name);
    const [pid, startTime] = name.slice(PREFIX.length).split('-');
    const owner = identifyProcess(Number(pid));
    if (owner?.startTime.replaceAll(/\W/g, '_') === startTime || !isWritable(directory)) continue;
    const servers = globSync('**/postmaster.pid', { cwd: directory });
    await Promise.all(servers.map((file) => stopStaleServer(join(directory, dirname(file)))));
    rmSync(directory, { recursive: true, force: true });
  }
}

/** Ends the platforms and servers that an interrupted run leaves: their files name them. */
function endProcesses(directory: string): void {
  const platforms = globSync('**/lock.json', { cwd: directory }).map(
    (file) => (JSON.parse(readFileSync(join(directory, file), 'utf8')) as { pid: number }).pid,
  );
  const servers = globSync('**/postmaster.pid', { cwd: directory }).map((file) =>
    Number.parseInt(readFileSync(join(directory, file), 'utf8'), 10),
  );
  for (const [pids, signal] of [
    [platforms, 'SIGKILL'],
    [servers, 'SIGQUIT'],
  ] as const) {
    for (const pid of pids) {
      try {
        if (pid !== process.pid) process.kill(pid, signal);
      } catch {
        // It has ended.
      }
    }
  }
}

function hasRoom(path: string): boolean {
  if (!isWritable(path)) return false;
  const { bavail, bsize } = statfsSync(path);
  return bavail * bsize >= ENOUGH_BYTES;
}

function isWritable(path: string): boolean {
  try {
    accessSync(path, constants.W_OK);
    return true;
  } catch {
    return false;
  }
}
