/**
 * One platform per state directory.
 *
 * States of `lock.json`: absent → held (by a hard link, so that it appears complete or not at all) → absent. A killed
 * holder leaves it behind: process id and start time show that no living process holds it, and it is taken over.
 * Invariant: a process that reads its own content in `lock.json` is the only living holder.
 */
import { linkSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { AlreadyRunning, systemCode } from '../errors.ts';
import { identifyProcess, isAlive, type ProcessIdentity } from './process-identity.ts';

export interface InstanceLock {
  /** True when a killed run had left its lock behind. */
  takenOver: boolean;
  release(): void;
}

/** @throws {AlreadyRunning} when a living process holds the directory */
export function acquireInstanceLock(directory: string): InstanceLock {
  const path = join(directory, 'lock.json');
  const own = JSON.stringify(identifyProcess(process.pid) ?? { pid: process.pid, startTime: '' });
  const candidate = `${path}.${process.pid}`;
  let takenOver = false;
  writeFileSync(candidate, own, { mode: 0o600 });
  try {
    for (;;) {
      try {
        linkSync(candidate, path);
        break;
      } catch (cause) {
        if (systemCode(cause) !== 'EEXIST') throw cause;
      }
      const seen = readIfPresent(path);
      if (seen === undefined) continue;
      const holder = parseHolder(seen);
      if (holder && isAlive(holder)) {
        throw new AlreadyRunning(
          `another platform (process ${holder.pid}) already runs in ${directory}: stop it, or choose another STRATA_DIR`,
        );
      }
      takenOver = true;
      removeStale(path, seen);
    }
  } finally {
    rmSync(candidate, { force: true });
  }
  return {
    takenOver,
    release() {
      if (readIfPresent(path) === own) rmSync(path, { force: true });
    },
  };
}

/** Two starts may find the same stale lock; the slower one must not remove the faster one's new lock. */
function removeStale(path: string, judged: string): void {
  const aside = `${path}.${process.pid}.stale`;
  try {
    renameSync(path, aside);
  } catch (cause) {
    if (systemCode(cause) === 'ENOENT') return;
    throw cause;
  }
  try {
    if (readIfPresent(aside) !== judged) linkSync(aside, path);
  } finally {
    rmSync(aside, { force: true });
  }
}

function readIfPresent(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8');
  } catch (cause) {
    if (systemCode(cause) === 'ENOENT') return undefined;
    throw cause;
  }
}

function parseHolder(content: string): ProcessIdentity | undefined {
  try {
    const holder = JSON.parse(content) as ProcessIdentity;
    return typeof holder.pid === 'number' ? holder : undefined;
  } catch {
    return undefined;
  }
}
