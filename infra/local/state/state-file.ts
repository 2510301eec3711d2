import { closeSync, fsyncSync, mkdirSync, openSync, readFileSync, renameSync, writeSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { CorruptState, systemCode } from '../errors.ts';
import type { StateFile } from '../model.ts';

/** JSON documents `<directory>/<name>.json`; a document is whole or absent at every moment. */
export function stateFile(directory: string): StateFile {
  mkdirSync(directory, { recursive: true });
  const pathOf = (name: string) => join(directory, `${name}.json`);
  return {
    load<T>(name: string, fallback: T): T {
      return readJson(pathOf(name), fallback);
    },
    save(name: string, value: unknown) {
      writeDurably(pathOf(name), JSON.stringify(value));
    },
  };
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

/** A rename is durable only once its directory is synced. */
function syncDirectory(directory: string): void {
  const handle = openSync(directory, 'r');
  try {
    fsyncSync(handle);
  } finally {
    closeSync(handle);
  }
}
