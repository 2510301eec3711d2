/**
 * Errors of a restore. `name` equals the class name and survives minification: `workflows/` imports the classes for Retry
 * and Catch. `message` is fit for a client; what an operator needs besides travels in `cause`, which is only logged.
 */
import type { BackupWindow } from '../registry/backups.ts';

export abstract class RestoreError extends Error {
  abstract override readonly name: string;
}

/** The input is malformed, or names what does not exist; `issues` names each field. */
export class InvalidRestoreInput extends RestoreError {
  override readonly name = 'InvalidRestoreInput';
  readonly issues: readonly { readonly path: string; readonly message: string }[];
  constructor(issues: readonly { readonly path: string; readonly message: string }[]) {
    const named = issues
      .slice(0, 10)
      .map(({ path, message }) => `${path.slice(0, 100) || 'input'}: ${message}`);
    super(`The input is not valid: ${named.join('; ')}`);
    this.issues = issues;
  }
}

/** The tenant has no such backup, or it has expired, or did not succeed. Nothing was changed. */
export class BackupUnknown extends RestoreError {
  override readonly name = 'BackupUnknown';
  constructor() {
    super('The tenant has no such backup, or it has expired.');
  }
}

/** The tenant cannot be restored now: it is not active, is moving, or its backup is in another region. Nothing was changed. */
export class TenantNotRestorable extends RestoreError {
  override readonly name = 'TenantNotRestorable';
  constructor(why: string) {
    super(why);
  }
}

/** A rollout changes the tables at this time. Nothing was changed. */
export class RolloutInProgress extends RestoreError {
  override readonly name = 'RolloutInProgress';
  constructor() {
    super('A schema rollout is running. Restore the tenant once it has ended.');
  }
}

/** What the restore replaced is not there any more, or the tenant has moved on since. Nothing was changed. */
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

/** The time is not one that the tenant can be restored to; `window` says which are. Nothing was changed. */
export class TimeOutsideWindow extends RestoreError {
  override readonly name = 'TimeOutsideWindow';
  readonly window: BackupWindow;
  constructor(window: BackupWindow) {
    super(`The tenant can be restored to times from ${window.from} to ${window.to}.`);
    this.window = window;
  }
}

/** The tenant's cluster did not have the tenant at that time. Nothing was changed. */
export class TenantAbsentThen extends RestoreError {
  override readonly name = 'TenantAbsentThen';
  constructor(at: string) {
    super(`The tenant's present cluster did not have the tenant at ${at}.`);
  }
}

/** RDS has not given the side cluster its password yet; transient. */
export class SideClusterUnreachable extends RestoreError {
  override readonly name = 'SideClusterUnreachable';
  constructor(options?: ErrorOptions) {
    super('The database of that time cannot be signed in to.', options);
  }
}

/** Some backups could not be restored for proof. */
export class DrillsFailed extends RestoreError {
  override readonly name = 'DrillsFailed';
  constructor() {
    super('Some backups could not be restored.');
  }
}

/** Anything that no other class names; the log holds the cause. */
export class RestoreStepFailed extends RestoreError {
  override readonly name = 'RestoreStepFailed';
  constructor(options?: ErrorOptions) {
    super('An internal error stopped the restore.', options);
  }
}

/** The tables of the backup are of a newer release than this one, which would lose what it does not know. */
export class BackupTablesNewer extends RestoreError {
  override readonly name = 'BackupTablesNewer';
  constructor(version: number, known: number) {
    super(`The tables of the backup have schema version ${version}; those of the tenant have ${known}.`);
  }
}
