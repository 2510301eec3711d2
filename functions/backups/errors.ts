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
