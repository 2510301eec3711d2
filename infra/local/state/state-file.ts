import {
  appendFileSync,
  closeSync,
  existsSync,
  fsyncSync,
  mkdirSync,
  openSync,
  readFileSync,
  renameSync,
  rmSync,
  writeSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import { CorruptState, systemCode } from '../errors.ts';
import type { StateFile } from '../model.ts';

/**
 * JSON documents `<directory>/<name>.json`, each complete or absent at every moment, and journals `<name>.jsonl` of one
 * entry per line.
 */
export function stateFile(directory: string): StateFile {
  mkdirSync(directory, { recursive: true });
  const pathOf = (name: string) => join(directory, `${name}.json`);
  const journalOf = (name: string) => join(directory, `${name}.jsonl`);
  return {
    load<T>(name: string, fallback: T): T {
      return readJson(pathOf(name), fallback);
    },
    save(name: string, value: unknown) {
      writeDurably(pathOf(name), JSON.stringify(value));
    },
    append(name: string, entry: unknown) {
      appendFileSync(journalOf(name), `${JSON.stringify(entry)}\n`, { mode: 0o600 });
    },
    entries<T>(name: string): T[] {
      return readJournal<T>(journalOf(name));
    },
    removeJournal(name: string) {
      rmSync(journalOf(name), { force: true });
    },
  };
}

function readJournal<T>(path: string): T[] {
  if (!existsSync(path)) return [];
  const entries: T[] = [];
  for (const line of readFileSync(path, 'utf8').split('\n')) {
    if (line === '') continue;
    try {
      entries.push(JSON.parse(line) as T);
    } catch {
      // Incomplete: nothing was written after it.
      break;
    }
  }
  return entries;
}

/**
 * @returns the parsed document, or the fallback when there is none
 * @throws {CorruptState} when it is not JSON
 */
export function readJson<T>(path: string, fallback: T): T {
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch (cause) {
    if (systemCode(cause) === 'ENOENT') return fallback;
    throw new CorruptState(
      `cannot read ${path} (${systemCode(cause)}): repair it or start over with --fresh`,
    );
  }
  try {
    return JSON.parse(text) as T;
  } catch {
    throw new CorruptState(`${path} is damaged: restore it or start over with --fresh`);
  }
}

/** Replaces a file atomically and durably. `mode` applies to the new file. */
export function writeDurably(path: string, content: string, mode = 0o600): void {
  const temporary = `${path}.${process.pid}.tmp`;
  const file = openSync(temporary, 'w', mode);
  try {
    writeSync(file, content);
    fsyncSync(file);
  } finally {
    closeSync(file);
  }
  renameSync(temporary, path);
  syncDirectory(dirname(path));
}

/** A rename is durable only after its directory is synced. */
function syncDirectory(directory: string): void {
  const handle = openSync(directory, 'r');
  try {
    fsyncSync(handle);
  } finally {
    closeSync(handle);
  }
}
