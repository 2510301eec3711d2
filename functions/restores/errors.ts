/**
 * Errors of a restore. `name` equals the class name and survives minification: `workflows/` imports the classes for
 * Retry and Catch. `message` may be shown to a client; `cause` has the details for operators and is only logged.
 */
import { invalidInputMessage, type NamedIssue } from '../contracts/input-issues.ts';
import type { BackupWindow } from '../registry/backups.ts';

export abstract class RestoreError extends Error {
  abstract override readonly name: string;
}

/** The input is malformed, or names something that does not exist; `issues` names each field. */
export class InvalidRestoreInput extends RestoreError {
  override readonly name = 'InvalidRestoreInput';
  readonly issues: readonly NamedIssue[];
  constructor(issues: readonly NamedIssue[]) {
    super(invalidInputMessage(issues));
    this.issues = issues;
  }
}

/** The backup does not exist, belongs to another tenant, has expired, or did not succeed. Nothing was changed. */
export class BackupUnknown extends RestoreError {
  override readonly name = 'BackupUnknown';
  constructor() {
    super('The tenant has no such backup, or it has expired.');
  }
}

/**
 * The tenant cannot be restored now: it is not active, is moving, or its backup is in another region. Nothing was
 * changed.
 */
export class TenantNotRestorable extends RestoreError {
  override readonly name = 'TenantNotRestorable';
  constructor(why: string) {
    super(why);
  }
}

/** A schema rollout is changing the tables. Nothing was changed. */
export class RolloutInProgress extends RestoreError {
  override readonly name = 'RolloutInProgress';
  constructor() {
    super('A schema rollout is running. Restore the tenant once it has ended.');
  }
}

/**
 * The rows that the restore replaced are not kept any more, or the tenant was moved or restored since. Nothing was
 * changed.
 */
export class UndoImpossible extends RestoreError {
  override readonly name = 'UndoImpossible';
  constructor(why: string, options?: ErrorOptions) {
    super(why, options);
  }
}

/** The workflow of the restore could not be started. Nothing was changed. */
export class RestoreNotStarted extends RestoreError {
  override readonly name = 'RestoreNotStarted';
  constructor(options?: ErrorOptions) {
    super('The restore could not be started. Try again later.', options);
  }
}

/** The new tenant of a clone could not be onboarded. */
export class CloneNotOnboarded extends RestoreError {
  override readonly name = 'CloneNotOnboarded';
  constructor(reason: string) {
    super(`The new tenant could not be onboarded. ${reason}`);
  }
}

/** Drills of some backups failed. */
export class DrillsFailed extends RestoreError {
  override readonly name = 'DrillsFailed';
  constructor() {
    super('Some backups could not be restored.');
  }
}

/** The tenant cannot be restored to this time; `window` has the possible times. Nothing was changed. */
export class TimeOutsideWindow extends RestoreError {
  override readonly name = 'TimeOutsideWindow';
  readonly window: BackupWindow;
  constructor(window: BackupWindow) {
    super(`The tenant can be restored to times from ${window.from} to ${window.to}.`);
    this.window = window;
  }
}

/** The tenant was not in its current cluster at that time. Nothing was changed. */
export class TenantAbsentThen extends RestoreError {
  override readonly name = 'TenantAbsentThen';
  constructor(at: string) {
    super(`The tenant was not in its current cluster at ${at}.`);
  }
}

/** RDS has not set the password of the side cluster yet; transient. */
export class SideClusterUnreachable extends RestoreError {
  override readonly name = 'SideClusterUnreachable';
  constructor(options?: ErrorOptions) {
    super('The copy of the database does not accept connections yet.', options);
  }
}

/** Any error without a class of its own; the log holds the cause. */
export class RestoreStepFailed extends RestoreError {
  override readonly name = 'RestoreStepFailed';
  constructor(options?: ErrorOptions) {
    super('An internal error stopped the restore.', options);
  }
}

/** The tables of the backup are from a newer release, which may have columns that this one would not restore. */
export class BackupTablesNewer extends RestoreError {
  override readonly name = 'BackupTablesNewer';
  constructor(version: number, known: number) {
    super(`The tables of the backup have schema version ${version}; those of the tenant have ${known}.`);
  }
}
