/**
 * Base backups of a running server, and the WAL that makes a point in time recoverable. The PostgreSQL package has no
 * `pg_basebackup`, so this is the low-level protocol of the manual ("Making a Base Backup Using the Low Level API"): the
 * session that called `pg_backup_start` stays open until `pg_backup_stop`; if it ends, the server forgets the backup.
 */
import { renameSync, rmSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import type pg from 'pg';
import { PostgresError } from '../errors.ts';
import { overConnection } from './over-connection.ts';
import { packDirectory } from './packed-directory.ts';
import type { WalArchive } from './wal-archive.ts';

/** How long a WAL segment may take to be archived, in ms: as long as a server takes to restart, and more. */
const ARCHIVING_LIMIT = 120_000;

/** Directories whose content a base backup leaves out, and paths that it leaves out whole; from the manual. */
const EMPTIED =
  /^(?:pg_wal|pg_replslot|pg_dynshmem|pg_notify|pg_serial|pg_snapshots|pg_stat_tmp|pg_subtrans)\//;
const LEFT_OUT = new RegExp(
  [
    // Files of the running server, and those that this platform writes before each start.
    '^(?:postmaster\\.(?:pid|opts)|strata\\.conf|postgresql\\.conf|pg_hba\\.conf|(?:server|ca)\\.(?:crt|key))$',
    '^(?:backup_label|tablespace_map|backup_manifest|recovery\\.signal|standby\\.signal)(?:\\.old|\\.tmp)?$',
    // Caches and temporary files.
    '(?:^|/)(?:pg_internal\\.init(?:\\.\\d+)?|pgsql_tmp[^/]*)(?:/|$)',
    // Temporary tables, which end with their session.
    '/t\\d+_\\d+(?:_\\w+)?(?:\\.\\d+)?$',
  ].join('|'),
);

/**
 * Takes a base backup and records it in the archive. The server goes on serving.
 * @param connection the platform's superuser
 * @param data the server's data directory
 * @throws {Error} when the server ends, the signal aborts, or the archive cannot be written; nothing is recorded then
 */
export async function takeBaseBackup(
  connection: pg.ClientConfig,
  { data, archive, signal }: { data: string; archive: WalArchive; signal: AbortSignal },
): Promise<void> {
  const number = Math.max(Date.now(), (archive.bases().at(-1)?.number ?? 0) + 1);
  const partial = `${archive.baseFile(number)}.partial`;
  const work = async (client: pg.Client) => {
    await client.query("SELECT pg_backup_start('strata', fast => true)");
    const isPacked = (path: string) => !EMPTIED.test(path) && !LEFT_OUT.test(path);
    const isRewritten = (path: string) => path === 'global/pg_control';
    const dataBytes = await packDirectory(data, partial, { isPacked, isRewritten, signal });
    // Archiving is awaited below: the server would look once a second.
    const { rows } = await client.query<{ label: string; stop: string; stopped: Date }>(`
      SELECT labelfile AS label, pg_walfile_name(lsn - 1) AS stop, clock_timestamp() AS stopped
      FROM pg_backup_stop(wait_for_archive => false)`);
    const { label, stop, stopped } = rows[0]!;
    const [, startSegment] = /^START WAL LOCATION: \S+ \(file ([0-9A-F]{24})\)$/m.exec(label) ?? [];
    if (startSegment === undefined) throw new PostgresError(`backup_label is not understood: ${label}`);
    await archived(archive, stop, signal);
    renameSync(partial, archive.baseFile(number));
    // Rounded up: a time is recoverable only if it is not before this one.
    const stoppedAt = stopped.getTime() + 1;
    archive.record({ number, label, startSegment, stopSegment: stop, stoppedAt, dataBytes });
  };
  try {
    await overConnection(connection, work);
  } catch (cause) {
    rmSync(partial, { force: true });
    throw cause;
  }
}

/**
 * Puts everything that was committed until that time into the archive, and a commit after it: recovery to a time ends at
 * the first commit that is later, and fails if there is none.
 * @param time not later than a moment from now
 */
export async function archiveUntil(
  time: Date,
  connection: pg.ClientConfig,
  archive: WalArchive,
  signal: AbortSignal,
): Promise<void> {
  while (Date.now() <= time.getTime()) await delay(1, undefined, { signal });
  await overConnection(connection, async (client) => {
    await client.query("SELECT pg_logical_emit_message(true, 'strata', 'recoverable until here')");
    const { rows } = await client.query<{ segment: string }>(
      'SELECT pg_walfile_name(pg_current_wal_insert_lsn() - 1) AS segment',
    );
    await client.query('SELECT pg_switch_wal()');
    await archived(archive, rows[0]!.segment, signal);
  });
}

/** @throws {PostgresError} when the segment is not archived in time */
async function archived(archive: WalArchive, segment: string, signal: AbortSignal): Promise<void> {
  for (const limit = Date.now() + ARCHIVING_LIMIT; !archive.has(segment); ) {
    if (Date.now() > limit) throw new PostgresError(`WAL segment ${segment} was not archived`);
    await delay(10, undefined, { signal });
  }
}
