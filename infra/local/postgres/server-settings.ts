import { execFileSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { join } from 'node:path';

/** Sized for several servers on a small machine; a template's values for these are for AWS's hardware. */
const localSizes: Record<string, string> = {
  shared_buffers: '48MB',
  max_connections: '300',
  effective_cache_size: '512MB',
  maintenance_work_mem: '64MB',
  wal_buffers: '4MB',
};

const defaults: Record<string, string> = {
  ssl_min_protocol_version: 'TLSv1.2',
  max_wal_senders: '20',
  max_replication_slots: '20',
  max_worker_processes: '24',
  max_logical_replication_workers: '16',
  max_sync_workers_per_subscription: '4',
  min_wal_size: '80MB',
  max_wal_size: '1GB',
  log_timezone: 'UTC',
  timezone: 'UTC',
  log_line_prefix: '%m [%p] %q%u@%d ',
};

/** Fixed by this platform, which needs them to reach, protect and stop a server. */
function fixed(port: number): Record<string, string> {
  return {
    listen_addresses: '127.0.0.1',
    port: String(port),
    unix_socket_directories: '',
    ssl: 'on',
    ssl_cert_file: 'server.crt',
    ssl_key_file: 'server.key',
    password_encryption: 'scram-sha-256',
    // An acknowledged write must survive kill -9 and power loss here as in Aurora.
    fsync: 'on',
    full_page_writes: 'on',
    logging_collector: 'off',
    log_destination: 'stderr',
    // No row values in the log, whatever the parameter group says, because the log outlives the rows.
    log_statement: 'none',
    log_min_duration_statement: '-1',
    log_min_error_statement: 'panic',
    log_error_verbosity: 'terse',
    log_parameter_max_length: '0',
    log_parameter_max_length_on_error: '0',
  };
}

/**
 * The module `basic_archive` of PostgreSQL writes a segment aside, syncs it and renames it, and takes one that is in the
 * archive already for archived only if it has the same content. Nothing is archived by time: a recovery asks for a
 * switch of segments when it needs one.
 */
function archiving(directory: string | undefined): Record<string, string> {
  if (directory === undefined) return { archive_mode: 'off' };
  return {
    archive_mode: 'on',
    archive_library: 'basic_archive',
    archive_command: '',
    archive_timeout: '0',
    'basic_archive.archive_directory': directory,
  };
}

/** Whether these binaries can archive WAL. */
export function canArchive(bin: string): boolean {
  return isInstalled(bin, 'basic_archive');
}

/**
 * A server's configuration file: the template's DB cluster parameters that this PostgreSQL has, over local defaults.
 * `rds.logical_replication=1` becomes `wal_level=logical`, as in Aurora; other `rds.*`, formulas
 * over instance memory and libraries that are not installed are left out.
 * @param archiveDirectory where the server archives its WAL; absent: it does not
 */
export function serverSettings(
  bin: string,
  parameters: Record<string, string>,
  port: number,
  archiveDirectory?: string,
): string {
  const known = knownSettings(bin);
  const settings: Record<string, string> = { ...defaults };
  settings.wal_level = parameters['rds.logical_replication'] === '1' ? 'logical' : 'replica';
  const libraries = (parameters.shared_preload_libraries ?? '')
    .split(',')
    .map((library) => library.trim())
    .filter((library) => isInstalled(bin, library));
  for (const [name, value] of Object.entries(parameters)) {
    const ofLibrary = libraries.some((library) => name.startsWith(`${library}.`));
    if (name === 'shared_preload_libraries') settings[name] = libraries.join(',');
    else if ((ofLibrary || known.has(name)) && !value.includes('{')) settings[name] = value;
  }
  Object.assign(settings, localSizes, fixed(port), archiving(archiveDirectory));
  return `# Written at every start.\n${configurationLines(settings)}`;
}

/** Lines of a configuration file, whose strings know quotes and backslashes. */
export function configurationLines(settings: Readonly<Record<string, string>>): string {
  const quoted = (value: string) => value.replaceAll('\\', '\\\\').replaceAll("'", "''");
  return Object.entries(settings)
    .map(([name, value]) => `${name} = '${quoted(value)}'\n`)
    .join('');
}

/**
 * Only TLS with a password, only from this machine. No line for physical replication, which RDS refuses too.
 * @param refused roles that may not sign in
 */
export function hostBasedAuthentication(refused: readonly string[]): string {
  return [
    '# Written at every start.',
    ...refused.map((role) => `host all "${role}" all reject`),
    'hostssl all all 127.0.0.1/32 scram-sha-256',
    'hostssl all all ::1/128 scram-sha-256',
    '',
  ].join('\n');
}

const knownByBinaries = new Map<string, Set<string>>();

/** An unknown name would prevent the server's start. */
function knownSettings(bin: string): Set<string> {
  let known = knownByBinaries.get(bin);
  if (!known) {
    const description = execFileSync(join(bin, 'postgres'), ['--describe-config'], { encoding: 'utf8' });
    known = new Set(description.split('\n').map((line) => line.split('\t', 1)[0]?.toLowerCase() ?? ''));
    knownByBinaries.set(bin, known);
  }
  return known;
}

function isInstalled(bin: string, library: string): boolean {
  const directory = join(bin, '..', 'lib', 'postgresql');
  return (
    library !== '' &&
    ['so', 'dylib', 'dll'].some((ending) => existsSync(join(directory, `${library}.${ending}`)))
  );
}
