import { readFileSync, statSync } from 'node:fs';
import { dirname, resolve } from 'node:path';
import { PostgresError } from '../errors.ts';

/** The user PostgreSQL's processes run as; ids are undefined when that is simply the current user. */
export interface OsUser {
  uid?: number;
  gid?: number;
}

/**
 * PostgreSQL refuses to run as root: as root it gets the system's `postgres` user, else `nobody`.
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

/** Whether that user may enter a directory and every directory above it. */
export function canEnter(user: OsUser, directory: string): boolean {
  if (user.uid === undefined) return true;
  for (let path = resolve(directory); ; path = dirname(path)) {
    const { mode, uid, gid } = statSync(path);
    const bit = uid === user.uid ? 0o100 : gid === user.gid ? 0o010 : 0o001;
    if ((mode & bit) === 0) return false;
    if (path === dirname(path)) return true;
  }
}
