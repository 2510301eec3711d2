/**
 * A cluster's data directory.
 *
 * States: absent → half-made (initdb runs, or was killed while running) → initialized. The file `initialized` beside
 * the data is written last; without it the content is made again. Each cluster runs initdb itself, about half a second:
 * copies of one directory would share its system identifier, which is part of replication slots' names.
 */
import { spawn } from 'node:child_process';
import { existsSync, mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { PostgresError } from '../errors.ts';
import { writeDurably } from '../state/state-file.ts';
import type { LocalCertificates } from './local-certificates.ts';
import { give, type PostgresFiles } from './postgres-files.ts';

/** The platform's superuser in every cluster, named as in RDS; only the platform has its password. */
export const superuserName = 'rdsadmin';

export interface DataDirectory {
  data: string;
  log: string;
  /** The platform's record of the cluster. */
  record: string;
}

export function dataDirectory(clusters: string, name: string): DataDirectory {
  const home = join(clusters, name);
  return { data: join(home, 'data'), log: join(home, 'server.log'), record: join(home, 'cluster.json') };
}

/** Of servers that archive their WAL, in MiB: a restore has the server finish a segment, which is archived whole. */
const ARCHIVED_SEGMENT_MIB = 1;

/**
 * Makes an empty database cluster unless a whole one is there.
 * @param isArchived whether its WAL is going to be archived; it can be in any case
 * @throws {PostgresError} with initdb's own reason
 */
export async function initializeDataDirectory(
  files: PostgresFiles,
  name: string,
  superuserPassword: string,
  isArchived = false,
): Promise<void> {
  const home = join(files.clusters, name);
  const marker = join(home, 'initialized');
  const { data } = dataDirectory(files.clusters, name);
  if (existsSync(marker)) {
    if (existsSync(join(data, 'PG_VERSION'))) return;
    throw new PostgresError(
      `the data of database cluster ${name} are gone from ${data}: start over with --fresh`,
    );
  }
  rmSync(home, { recursive: true, force: true });
  mkdirSync(home, { recursive: true, mode: 0o700 });
  give(home, files.user);
  const passwordFile = join(home, 'superuser-password');
  writeFileSync(passwordFile, superuserPassword, { mode: 0o600 });
  give(passwordFile, files.user);
  await run(files, 'initdb', [
    `--pgdata=${data}`,
    `--username=${superuserName}`,
    `--pwfile=${passwordFile}`,
    '--auth=scram-sha-256',
    '--encoding=UTF8',
    '--locale=C',
    '--locale-provider=builtin',
    '--builtin-locale=C.UTF-8',
    '--data-checksums',
    ...(isArchived ? [`--wal-segsize=${ARCHIVED_SEGMENT_MIB}`] : []),
    // The first checkpoint of the server syncs everything; until then the marker is missing anyway.
    '--no-sync',
    '--no-instructions',
  ]);
  rmSync(passwordFile);
  markInitialized(files, name);
}

/** Says that the data directory is whole. */
export function markInitialized({ clusters }: PostgresFiles, name: string): void {
  writeDurably(join(clusters, name, 'initialized'), '');
}

/** Writes configuration and certificate. @returns true when anything changed */
export function configureDataDirectory(
  files: PostgresFiles,
  data: string,
  contents: { settings: string; hostBasedAuthentication: string; certificates: LocalCertificates },
  previous: (path: string) => string | undefined,
): boolean {
  const wanted: [string, string, number][] = [
    ['strata.conf', contents.settings, 0o600],
    ['postgresql.conf', "include 'strata.conf'\n", 0o600],
    ['pg_hba.conf', contents.hostBasedAuthentication, 0o600],
    ['server.crt', contents.certificates.serverCertificate, 0o600],
    // With it the server, as a subscriber, checks other servers.
    ['ca.crt', contents.certificates.caCertificate, 0o644],
    ['server.key', contents.certificates.serverKey, 0o600],
  ];
  let changed = false;
  for (const [name, content, mode] of wanted) {
    const path = join(data, name);
    if (previous(path) === content) continue;
    writeDurably(path, content, mode);
    give(path, files.user);
    changed = true;
  }
  return changed;
}

/** Changes who may sign in, from the server's next reload on. */
export function writeHostBasedAuthentication(files: PostgresFiles, data: string, content: string): void {
  const path = join(data, 'pg_hba.conf');
  writeDurably(path, content, 0o600);
  give(path, files.user);
}

function run(files: PostgresFiles, program: string, options: string[]): Promise<void> {
  return new Promise((resolve, reject) => {
    const child = spawn(join(files.bin, program), options, {
      ...files.user,
      cwd: '/',
      env: { PATH: process.env.PATH, LC_ALL: 'C' },
      stdio: ['ignore', 'ignore', 'pipe'],
    });
    let complaint = '';
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      complaint += text;
    });
    child.once('error', (cause) => reject(new PostgresError(`cannot run ${program}: ${cause.message}`)));
    child.once('close', (code, signal) => {
      if (code === 0) return resolve();
      const lines = complaint.trim().split('\n');
      const reason = lines.find((line) => /error|fatal|could not/i.test(line)) ?? lines.at(-1);
      reject(new PostgresError(`${program} failed (${signal ?? code}): ${reason}`));
    });
  });
}
