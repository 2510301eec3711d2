import { invalidInputMessage, type NamedIssue } from '../contracts/input-issues.ts';

/**
 * Errors of a backup. `name` equals the class name and survives minification: `workflows/` imports the classes for
 * Retry and Catch. `message` may be shown to a client; `cause` has the details for operators and is only logged.
 */
export abstract class BackupError extends Error {
  abstract override readonly name: string;
}

/** Another backup of the tenant is running. Nothing was changed. */
export class BackupInProgress extends BackupError {
  override readonly name = 'BackupInProgress';
  constructor() {
    super('A backup of the tenant is running already.');
  }
}

/** The tenant is being moved: the backup waits for the end of the move. Nothing was changed; transient. */
export class BackupDuringMove extends BackupError {
  override readonly name = 'BackupDuringMove';
  constructor(options?: ErrorOptions) {
    super('The tenant is being moved. The backup begins once the move has ended.', options);
  }
}

/**
 * The tenant has no data here: it is not onboarded yet, its onboarding failed, it was offboarded, or it is in another
 * region.
 */
export class TenantNotBackupable extends BackupError {
  override readonly name = 'TenantNotBackupable';
  constructor(why: string) {
    super(why);
  }
}

/** The record of the backup was ended by its starter or by recovery. */
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
  readonly issues: readonly NamedIssue[];
  constructor(issues: readonly NamedIssue[]) {
    super(invalidInputMessage(issues));
    this.issues = issues;
  }
}

/** The backup has no manifest: it was never completed, or it has expired. */
export class ManifestMissing extends BackupError {
  override readonly name = 'ManifestMissing';
  constructor(options?: ErrorOptions) {
    super('The backup has no manifest: it was not completed, or it has expired.', options);
  }
}

/** The manifest differs from the one that was written. */
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
    super('The manifest belongs to another backup.');
  }
}

/** A newer release wrote the backup. */
export class ManifestNewer extends BackupError {
  override readonly name = 'ManifestNewer';
  constructor(version: number, known: number) {
    super(
      `The backup has format version ${version}; this release knows ${known}. Restore it with a newer release.`,
    );
  }
}

/** An object of the backup does not exist. */
export class BackupObjectMissing extends BackupError {
  override readonly name = 'BackupObjectMissing';
  constructor(key: string, options?: ErrorOptions) {
    super(`An object of the backup is missing: ${key}.`, options);
  }
}

/** An object of the backup differs from the one that was written: it was truncated, changed or replaced. */
export class BackupObjectDamaged extends BackupError {
  override readonly name = 'BackupObjectDamaged';
  constructor(key: string, why: string, options?: ErrorOptions) {
    super(`An object of the backup is damaged: ${key} ${why}.`, options);
  }
}

/** The rows of a restored table differ from the manifest. */
export class RestoredRowsDiffer extends BackupError {
  override readonly name = 'RestoredRowsDiffer';
  constructor(table: string) {
    super(`The restored rows of ${table} differ from the backup.`);
  }
}

/**
 * The tables of the tenant or of the backup are from a newer release, which may have columns that this one would not
 * copy.
 */
export class TablesNewer extends BackupError {
  override readonly name = 'TablesNewer';
  constructor(version: number, known: number) {
    super(`The tables have schema version ${version}; this release knows ${known}.`);
  }
}

/** A rollout is changing the tables, or the tenant is being moved. Nothing was changed; transient. */
export class TablesChanging extends BackupError {
  override readonly name = 'TablesChanging';
  constructor(options?: ErrorOptions) {
    super('The tables of the tenant are being changed. The backup continues after that.', options);
  }
}

/** The snapshot was lost in every attempt, and no attempt is left. */
export class SnapshotLost extends BackupError {
  override readonly name = 'SnapshotLost';
  constructor(attempts: number, options?: ErrorOptions) {
    super(`The snapshot of the backup was lost in each of ${attempts} attempts.`, options);
  }
}

/** The backups of some tenants failed in a fleet's run. */
export class FleetIncomplete extends BackupError {
  override readonly name = 'FleetIncomplete';
  constructor(why: string) {
    super(why);
  }
}

/** Any error without a class of its own; the log holds the cause. */
export class BackupStepFailed extends BackupError {
  override readonly name = 'BackupStepFailed';
  constructor(options?: ErrorOptions) {
    super('An internal error stopped the backup.', options);
  }
}
