import { invalidInputMessage, type NamedIssue } from '../contracts/input-issues.ts';

/**
 * Errors of an export. `name` equals the class name and survives minification: `workflows/` imports the classes for
 * Retry and Catch. `message` may be shown to a client; `cause` has the details for operators and is only logged.
 */
export abstract class ExportError extends Error {
  abstract override readonly name: string;
}

/** Another export of the tenant is running. Nothing was changed. */
export class ExportInProgress extends ExportError {
  override readonly name = 'ExportInProgress';
  constructor() {
    super('An export of the tenant is running already.');
  }
}

/** The record of the export was ended by its starter or by recovery. */
export class ExportOvertaken extends ExportError {
  override readonly name = 'ExportOvertaken';
  constructor(options?: ErrorOptions) {
    super('The export has ended already.', options);
  }
}

/** The workflow of the export could not be started. Nothing was exported. */
export class ExportNotStarted extends ExportError {
  override readonly name = 'ExportNotStarted';
  constructor(options?: ErrorOptions) {
    super('The export could not be started. Try again later.', options);
  }
}

/** The input is malformed, or names no tenant of this region; `issues` names each field. */
export class InvalidExportInput extends ExportError {
  override readonly name = 'InvalidExportInput';
  readonly issues: readonly NamedIssue[];
  constructor(issues: readonly NamedIssue[]) {
    super(invalidInputMessage(issues));
    this.issues = issues;
  }
}

/** The backup does not exist, belongs to another tenant, has not succeeded, or has expired. */
export class ExportSourceUnknown extends ExportError {
  override readonly name = 'ExportSourceUnknown';
  constructor() {
    super('There is no such backup to export.');
  }
}

/** The backup that the export needs has failed or has expired. */
export class ExportSourceFailed extends ExportError {
  override readonly name = 'ExportSourceFailed';
  constructor(why: string) {
    super(`The backup for the export did not succeed: ${why}`);
  }
}

/** An object that an earlier phase of the export wrote is missing, or differs from the one that was written. */
export class ExportPartDamaged extends ExportError {
  override readonly name = 'ExportPartDamaged';
  constructor(key: string, options?: ErrorOptions) {
    super(`A part of the export is missing or damaged: ${key}.`, options);
  }
}

/** Any error without a class of its own; the log holds the cause. */
export class ExportStepFailed extends ExportError {
  override readonly name = 'ExportStepFailed';
  constructor(options?: ErrorOptions) {
    super('An internal error stopped the export.', options);
  }
}
