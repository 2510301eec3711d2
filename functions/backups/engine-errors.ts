/** Errors of writing backups and of reading them back. As those of errors.ts, their messages are fit for a client. */
import { BackupError } from './errors.ts';

/** The upload was never completed, or the backup has expired: there is no manifest. */
export class ManifestMissing extends BackupError {
  override readonly name = 'ManifestMissing';
  constructor(options?: ErrorOptions) {
    super('The backup has no manifest: it was not completed, or has expired.', options);
  }
}

/** The manifest is not what was written. */
export class ManifestAltered extends BackupError {
  override readonly name = 'ManifestAltered';
  constructor(why: string, options?: ErrorOptions) {
    super(`The manifest of the backup was altered: ${why}.`, options);
  }
}

/** The manifest belongs to another tenant or to another backup. */
export class ManifestForeign extends BackupError {
  override readonly name = 'ManifestForeign';
  constructor() {
    super('The manifest is that of another backup.');
  }
}

/** A newer release has written the backup. */
export class ManifestNewer extends BackupError {
  override readonly name = 'ManifestNewer';
  constructor(version: number, known: number) {
    super(
      `The backup has format version ${version}; this release knows ${known}. Restore it with a newer release.`,
    );
  }
}

/** An object of the backup is not there. */
export class BackupObjectMissing extends BackupError {
  override readonly name = 'BackupObjectMissing';
  constructor(key: string, options?: ErrorOptions) {
    super(`An object of the backup is missing: ${key}.`, options);
  }
}

/** An object of the backup is not the one that was written: truncated, changed, or another one under its key. */
export class BackupObjectDamaged extends BackupError {
  override readonly name = 'BackupObjectDamaged';
  constructor(key: string, why: string, options?: ErrorOptions) {
    super(`An object of the backup is damaged: ${key} ${why}.`, options);
  }
}

/** The restored table does not hold what the manifest says. */
export class RestoredRowsDiffer extends BackupError {
  override readonly name = 'RestoredRowsDiffer';
  constructor(table: string) {
    super(`The restored rows of ${table} are not those of the backup.`);
  }
}

/** The tables of the tenant, or of the backup, are of a newer release, and this one would leave out what it does not know. */
export class TablesNewer extends BackupError {
  override readonly name = 'TablesNewer';
  constructor(version: number, known: number) {
    super(`The tables have schema version ${version}; this release knows ${known}.`);
  }
}

/** A change of the tables is under way, or the tenant is on its way to another place. Nothing was changed; transient. */
export class TablesChanging extends BackupError {
  override readonly name = 'TablesChanging';
  constructor(options?: ErrorOptions) {
    super('The tables of the tenant are being changed. The backup goes on once they are.', options);
  }
}

/** The snapshot was lost too often: each attempt began again and none came to its end. */
export class SnapshotLost extends BackupError {
  override readonly name = 'SnapshotLost';
  constructor(attempts: number, options?: ErrorOptions) {
    super(`The snapshot of the backup was lost in each of ${attempts} attempts.`, options);
  }
}
