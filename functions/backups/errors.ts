/**
 * Errors of a backup. `name` equals the class name and survives minification: `workflows/` imports the classes for Retry
 * and Catch. `message` is fit for a client; what an operator needs besides travels in `cause`, which is only logged.
 */
export abstract class BackupError extends Error {
  abstract override readonly name: string;
}

/** Another backup of the tenant is under way. Nothing was changed. */
export class BackupInProgress extends BackupError {
  override readonly name = 'BackupInProgress';
  constructor() {
    super('A backup of the tenant is running already.');
  }
}

/** A move keeps the tenant: the backup waits for its end. Nothing was changed; transient. */
export class BackupDuringMove extends BackupError {
  override readonly name = 'BackupDuringMove';
  constructor(options?: ErrorOptions) {
    super('The tenant is being moved. The backup begins once the move has ended.', options);
  }
}

/** The tenant has no data to back up: it is not onboarded yet, has failed, was offboarded, or is in another region. */
export class TenantNotBackupable extends BackupError {
  override readonly name = 'TenantNotBackupable';
  constructor(why: string) {
    super(why);
  }
}

/** The record of the backup has ended: its starter, or recovery, has given it up. */
export class BackupOvertaken extends BackupError {
  override readonly name = 'BackupOvertaken';
  constructor(options?: ErrorOptions) {
    super('The backup has ended already.', options);
  }
}

/** The workflow of the backup could not be started. Nothing was backed up. */
export class BackupNotStarted extends BackupError {
  override readonly name = 'BackupNotStarted';
  constructor(options?: ErrorOptions) {
    super('The backup could not be started. Try again later.', options);
  }
}

/** The input is malformed, or names no tenant of this region; `issues` names each field. */
export class InvalidBackupInput extends BackupError {
  override readonly name = 'InvalidBackupInput';
  readonly issues: readonly { readonly path: string; readonly message: string }[];
  constructor(issues: readonly { readonly path: string; readonly message: string }[]) {
    const named = issues
      .slice(0, 10)
      .map(({ path, message }) => `${path.slice(0, 100) || 'input'}: ${message}`);
    super(`The input is not valid: ${named.join('; ')}`);
    this.issues = issues;
  }
}

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

/** Some tenants of a fleet's run have no backup of today. */
export class FleetIncomplete extends BackupError {
  override readonly name = 'FleetIncomplete';
  constructor(why: string) {
    super(why);
  }
}

/** Anything that no other class names; the log holds the cause. */
export class BackupStepFailed extends BackupError {
  override readonly name = 'BackupStepFailed';
  constructor(options?: ErrorOptions) {
    super('An internal error stopped the backup.', options);
  }
}
