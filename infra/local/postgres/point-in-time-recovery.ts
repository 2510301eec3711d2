/**
 * Makes the data directory of a new cluster from the archive of another, as of a point in time.
 *
 * The server recovers while it starts, and accepts connections only once it has left recovery (`hot_standby = off`, so it
 * may also have smaller limits than the source). From then on it is a cluster of its own, on a new timeline.
 */
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { writeDurably } from '../state/state-file.ts';
import { unpackDirectory } from './packed-directory.ts';
import { give, type PostgresFiles } from './postgres-files.ts';
import { configurationLines } from './server-settings.ts';
import type { BaseBackup, WalArchive } from './wal-archive.ts';

/** Read after the configuration files, so it wins while it has the recovery's settings. */
const RECOVERY_SETTINGS = 'postgresql.auto.conf';

/** Directories that a server needs and base backups have not. */
const EMPTY_DIRECTORIES = [
  'pg_wal',
  'pg_wal/archive_status',
  'pg_wal/summaries',
  'pg_replslot',
  'pg_dynshmem',
  'pg_notify',
  'pg_serial',
  'pg_snapshots',
  'pg_stat_tmp',
  'pg_subtrans',
];

/**
 * @param data of the new cluster; must not exist
 * @param from `time`: what was committed in that millisecond is in
 */
export async function prepareRecovery(
  files: PostgresFiles,
  data: string,
  from: { archive: WalArchive; base: BaseBackup; time: Date; signal: AbortSignal },
): Promise<void> {
  const { archive, base, time, signal } = from;
  await unpackDirectory(archive.baseFile(base.number), data, { user: files.user, signal });
  for (const name of EMPTY_DIRECTORIES) {
    mkdirSync(join(data, name), { recursive: true, mode: 0o700 });
    give(join(data, name), files.user);
  }
  const settings = configurationLines({
    restore_command: `cp ${shellQuoted(`${archive.walDirectory}/`).replaceAll('%', '%%')}%f "%p"`,
    // The whole millisecond: whoever read the clock after a commit may have read the same one, and its microseconds
    // were cut off. Abbreviations of time zones, such as Z, are not known yet when the server reads this.
    recovery_target_time: time.toISOString().replace('Z', '999+00'),
    recovery_target_action: 'promote',
    hot_standby: 'off',
  });
  for (const [name, content] of [
    ['backup_label', base.label],
    ['recovery.signal', ''],
    [RECOVERY_SETTINGS, settings],
  ] as const) {
    writeFileSync(join(data, name), content, { mode: 0o600 });
    give(join(data, name), files.user);
  }
}

/** Removes the recovery's settings, which the running server has used up. */
export function endRecovery(files: PostgresFiles, data: string): void {
  const path = join(data, RECOVERY_SETTINGS);
  writeDurably(path, '');
  give(path, files.user);
}

function shellQuoted(text: string): string {
  return `'${text.replaceAll("'", "'\\''")}'`;
}
