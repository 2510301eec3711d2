/**
 * The directory everything survives in. Layout:
 *   strata.json     marker: this directory is ours, and its format
 *   lock.json       the running platform
 *   state/*.json    documents of the services
 *   postgres/       clusters (a link into /var/tmp where PostgreSQL's user could not enter)
 *   tls/            local certificate authority
 *   caches/         process ids of caches; their content is in memory only
 *   logs/           one file per function and server
 *   cdk.out/        the synthesized assembly
 *   deployments/    assemblies that were deployed since the start
 */
import { accessSync, constants, existsSync, mkdirSync, readdirSync, rmSync, statSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { CorruptState, systemCode } from '../errors.ts';
import { readJson, writeDurably } from './state-file.ts';

/** 2: the stacks of a region are split, so resources of format 1 would be expected in stacks that no longer exist. */
const format = 2;

/**
 * Creates the directory, or recognizes an existing one of this platform.
 * @returns its absolute path
 * @throws {CorruptState} when it is not a directory, not of this platform or not writable
 */
export function claimStateDirectory(path: string): string {
  const directory = resolve(path);
  try {
    mkdirSync(directory, { recursive: true, mode: 0o755 });
    accessSync(directory, constants.W_OK | constants.X_OK);
  } catch (cause) {
    const isFile = existsSync(directory) && !statSync(directory).isDirectory();
    const problem = isFile ? 'is not a directory' : `cannot be used (${systemCode(cause)})`;
    throw new CorruptState(`STRATA_DIR ${directory} ${problem}: choose another STRATA_DIR`);
  }
  if (!existsSync(markerOf(directory))) {
    // --fresh erases the directory, so a directory with other content must never be adopted.
    if (readdirSync(directory).some((entry) => !entry.startsWith('strata.json.'))) {
      throw new CorruptState(
        `STRATA_DIR ${directory} holds files that are not Strata's (strata.json is missing): choose another STRATA_DIR`,
      );
    }
    writeDurably(markerOf(directory), JSON.stringify({ format }), 0o644);
  }
  return directory;
}

/**
 * Creates the subdirectories of a claimed directory after it is locked.
 * @throws {CorruptState} when another version of this platform wrote it
 */
export function prepareStateDirectory(directory: string): void {
  const found = readJson<{ format?: number } | null>(markerOf(directory), null);
  if (found?.format !== format) {
    throw new CorruptState(
      `STRATA_DIR ${directory} has format ${String(found?.format)} and this version needs ${format}: start over with --fresh`,
    );
  }
  for (const part of ['state', 'tls', 'logs']) mkdirSync(join(directory, part), { recursive: true });
}

/** Empties a directory of this platform, except for the lock that its caller holds. */
export function clearStateDirectory(directory: string): void {
  for (const entry of readdirSync(directory)) {
    if (entry === 'lock.json' || entry === 'strata.json') continue;
    rmSync(join(directory, entry), { recursive: true, force: true });
  }
  writeDurably(markerOf(directory), JSON.stringify({ format }), 0o644);
}

function markerOf(directory: string): string {
  return join(directory, 'strata.json');
}
