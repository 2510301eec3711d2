/**
 * The local platform: a synthesized assembly, running on one machine.
 *
 * States: locked → listening (both public ports answer, nothing is deployed) → opened (the assembly is known, and each
 * of its regions has a gateway) → deployed → ready → stopped. The app is being synthesized meanwhile, from locked until
 * opened. A failure stops everything that was begun, in reverse order, and releases the lock last.
 */
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import type { Platform, PlatformOptions } from './boot-assembly.ts';
import { PlatformError } from './errors.ts';
import { dataDirectory } from './postgres/data-directory.ts';
import { existingClusters, removeOutsideFiles } from './postgres/postgres-files.ts';
import { stopStaleServer } from './postgres/server-process.ts';
import { progressOf } from './progress.ts';
import { acquireInstanceLock } from './state/instance-lock.ts';
import { claimStateDirectory, clearStateDirectory, prepareStateDirectory } from './state/state-directory.ts';
import { synthesize } from './synthesize.ts';

/**
 * Boots the assembly.
 * @throws {PlatformError} for any error that the user can fix, in one line; everything begun has been stopped by then
 */
export async function startPlatform(options: PlatformOptions): Promise<Platform> {
  // Functions share this process's time zone, and Lambda's is UTC.
  process.env.TZ = 'UTC';
  const undo: (() => unknown)[] = [];
  let stopped: Promise<void> | undefined;
  const stop = () => {
    stopped ??= stopAll(undo);
    return stopped;
  };
  const signal = options.signal ?? new AbortController().signal;
  const booting = boot(options, undo, signal);
  try {
    const aborted = new Promise<never>((_resolve, reject) => {
      const refuse = () => reject(new PlatformError('stopped while starting'));
      if (signal.aborted) refuse();
      signal.addEventListener('abort', refuse, { once: true });
    });
    return { ...(await Promise.race([booting, aborted])), stop };
  } catch (cause) {
    await stop();
    // What an aborted boot still completes after that must be stopped too.
    void booting.catch(() => undefined).then(() => stopAll(undo));
    throw cause;
  }
}

async function boot(
  options: PlatformOptions,
  undo: (() => unknown)[],
  signal: AbortSignal,
): Promise<Omit<Platform, 'stop'>> {
  const { projectDir, cdkOut, progress = progressOf(options.log) } = options;
  const stateDir = claimStateDirectory(options.stateDir);
  const lock = acquireInstanceLock(stateDir);
  undo.push(() => lock.release());
  if (lock.takenOver) progress.log('the last run was killed; recovering');
  if (options.fresh) await progress.phase('erasing the state of earlier runs', () => startOver(stateDir));
  prepareStateDirectory(stateDir);
  const output = cdkOut ?? join(stateDir, 'cdk.out');
  const logFile = join(stateDir, 'logs', 'synth.log');
  const synthesis = cdkOut === undefined ? synthesize({ projectDir, output, logFile, signal }) : undefined;
  if (synthesis) undo.push(synthesis.stop);
  // The app runs in a process of its own while this one loads its other modules and prepares to run it.
  const loading = import('./boot-assembly.ts');
  const assembled = synthesis
    ? progress.phase('synthesizing the CDK app', () => synthesis.done)
    : progress.phase('loading the local platform', () => loading);
  // It is awaited late; a start that fails before that has its own error.
  assembled.catch(() => {});
  const { bootAssembly } = await loading;
  const assembly = { output, assembled, isBeingMade: synthesis !== undefined };
  return bootAssembly({ ...options, ...assembly, stateDir, progress }, undo, signal);
}

/** Erases everything that earlier runs left, including their servers. */
async function startOver(stateDir: string): Promise<void> {
  const clusters = existingClusters(stateDir);
  if (clusters) {
    const servers = readdirSync(clusters).map((name) => stopStaleServer(dataDirectory(clusters, name).data));
    await Promise.all(servers);
  }
  clearStateDirectory(stateDir);
  removeOutsideFiles(stateDir);
}

/** In reverse order: the gateway stops accepting requests before functions stop, and those before databases. */
async function stopAll(undo: (() => unknown)[]): Promise<void> {
  for (let step = undo.pop(); step; step = undo.pop()) {
    try {
      await step();
    } catch {
      // The next ones must be stopped in any case.
    }
  }
}
