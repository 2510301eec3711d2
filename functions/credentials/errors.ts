import { invalidInputMessage, type NamedIssue } from '../contracts/input-issues.ts';

/**
 * Errors of rotations of database credentials. `name` equals the class name and survives minification: `workflows/`
 * imports the classes for Retry and Catch. `message` may be shown to a client; `cause` has the details for operators and
 * is only logged.
 */
export abstract class CredentialError extends Error {
  abstract override readonly name: string;
}

/** The input is malformed, or names nothing that has credentials; `issues` names each field. */
export class InvalidCredentialInput extends CredentialError {
  override readonly name = 'InvalidCredentialInput';
  readonly issues: readonly NamedIssue[];
  constructor(issues: readonly NamedIssue[]) {
    super(invalidInputMessage(issues));
    this.issues = issues;
  }
}

/** What has no credentials of its own, or is in no state in which they can be replaced. Nothing was changed. */
export class NotRotatable extends CredentialError {
  override readonly name = 'NotRotatable';
}

/** A move or a restore uses the credentials. Nothing was changed. */
export class CredentialsInUse extends CredentialError {
  override readonly name = 'CredentialsInUse';
}

/** The same credentials are being replaced already, or the proxy has too many rotations. Nothing was changed. */
export class CredentialRotationRunning extends CredentialError {
  override readonly name = 'CredentialRotationRunning';
  constructor(message = 'These credentials are being replaced already.') {
    super(message);
  }
}

/** The record of the rotation has ended, or another execution works on it. */
export class CredentialRotationOvertaken extends CredentialError {
  override readonly name = 'CredentialRotationOvertaken';
  constructor() {
    super('Another execution works on the rotation, or it has ended.');
  }
}

/** The workflow could not be started. Nothing was changed. */
export class CredentialRotationNotStarted extends CredentialError {
  override readonly name = 'CredentialRotationNotStarted';
  constructor(options?: ErrorOptions) {
    super('The rotation could not be started. Try again later.', options);
  }
}

/** Sessions of the role still work. Transient. */
export class RoleInUse extends CredentialError {
  override readonly name = 'RoleInUse';
  constructor() {
    super('Sessions of the role still work.');
  }
}

/** A phase failed for a reason that is only logged. */
export class CredentialStepFailed extends CredentialError {
  override readonly name = 'CredentialStepFailed';
  constructor(options?: ErrorOptions) {
    super('A phase of the rotation failed.', options);
  }
}

/** Scheduled rotations that could not be begun or continued. */
export class DueRotationsFailed extends CredentialError {
  override readonly name = 'DueRotationsFailed';
  constructor(count: number, options?: ErrorOptions) {
    super(`${count} rotations could not be begun or continued.`, options);
  }
}
