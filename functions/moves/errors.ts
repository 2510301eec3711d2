import { invalidInputMessage } from '../contracts/input-issues.ts';

/**
 * Errors of a move. `name` equals the class name and survives minification: `workflows/` imports the classes for Retry
 * and Catch. `message` may be shown to a client; `cause` has the details for operators and is only logged.
 */
export abstract class MoveError extends Error {
  abstract override readonly name: string;
}

/** The end of the move was requested before its commit point. */
export class MoveAborted extends MoveError {
  override readonly name = 'MoveAborted';
  constructor() {
    super('The move was aborted.');
  }
}

/** Source and target of the move differ. Nothing is cleaned up: both are kept for an operator. */
export class MoveMismatch extends MoveError {
  override readonly name = 'MoveMismatch';
  constructor(options?: ErrorOptions) {
    super('The data of the two places differ; both are kept.', options);
  }
}

/** The fence was not granted, or the pause would have been too long. Nothing was changed; transient. */
export class CutOverPostponed extends MoveError {
  override readonly name = 'CutOverPostponed';
  constructor(options?: ErrorOptions) {
    super(
      'The move could not be committed within the pause that is allowed, and will be tried again.',
      options,
    );
  }
}

/** The shared tables are older than this release; a rollout updates them. Nothing was changed; transient. */
export class TablesUpgrading extends MoveError {
  override readonly name = 'TablesUpgrading';
  constructor(options?: ErrorOptions) {
    super('The tables of the cell are being upgraded. The move continues after that.', options);
  }
}

/** The tenant's tables are from a newer release, which may have columns that this one would not copy. */
export class TablesNewer extends MoveError {
  override readonly name = 'TablesNewer';
  constructor(version: number, known: number) {
    super(
      `The tenant's tables have schema version ${version}; this release knows ${known}. Deploy the newer release to move it.`,
    );
  }
}

/** The replication cannot be repaired (its slot was lost, or a change could not be applied). */
export class ReplicationBroken extends MoveError {
  override readonly name = 'ReplicationBroken';
  constructor(options?: ErrorOptions) {
    super('The replication to the new place broke.', options);
  }
}

/** A reason that forbids a move: the rule, and the detail about the tenant or the target. */
export interface Forbidden {
  readonly rule:
    | 'status'
    | 'moving'
    | 'credentials'
    | 'mismatch'
    | 'nothing-to-move'
    | 'residency'
    | 'compliance'
    | 'cell'
    | 'size'
    | 'users'
    | 'storage'
    | 'name';
  readonly detail: string;
}

/** One wrong field. */
interface InputIssue {
  /** Path of the field as it reads in a sentence, `a.b`; empty for the whole input. */
  readonly path: string;
  /** JSON pointer of the field; absent when `path` is the field's name. */
  readonly pointer?: string;
  readonly message: string;
}

/** The input is malformed, or names a cell or residency that does not exist; `issues` names each field. */
export class InvalidMoveInput extends MoveError {
  override readonly name = 'InvalidMoveInput';
  readonly issues: readonly InputIssue[];
  constructor(issues: readonly InputIssue[]) {
    super(invalidInputMessage(issues));
    this.issues = issues;
  }
}

/** Another move of the tenant is running. */
export class MoveInProgress extends MoveError {
  override readonly name = 'MoveInProgress';
  constructor() {
    super('The tenant is being moved already.');
  }
}

/** Rules forbid the move; `issues` lists them. */
export class MoveForbidden extends MoveError {
  override readonly name = 'MoveForbidden';
  readonly issues: readonly Forbidden[];
  constructor(issues: readonly Forbidden[]) {
    super(`The move is not allowed: ${issues.map(({ detail }) => detail).join(' ')}`);
    this.issues = issues;
  }
}

/** The tenant is at the target already. */
export class NothingToMove extends MoveError {
  override readonly name = 'NothingToMove';
  constructor() {
    super('The tenant is there already.');
  }
}

/** The tenant is not active, has no place, or an earlier move left differences that an operator has to resolve. */
export class TenantNotMovable extends MoveError {
  override readonly name = 'TenantNotMovable';
  constructor(why: string) {
    super(why);
  }
}

/** The move has ended, or the tenant is claimed by another attempt. The caller must stop. */
export class MoveOvertaken extends MoveError {
  override readonly name = 'MoveOvertaken';
  constructor(options?: ErrorOptions) {
    super('The move has ended, or the tenant was taken over by another one.', options);
  }
}

/** The workflow of the move could not be started. Nothing was changed. */
export class MoveNotStarted extends MoveError {
  override readonly name = 'MoveNotStarted';
  constructor(options?: ErrorOptions) {
    super('The move could not be started. Try again later.', options);
  }
}

/** The size of the tenant's data could not be measured. Nothing was changed. */
export class TenantNotMeasured extends MoveError {
  override readonly name = 'TenantNotMeasured';
  constructor(options?: ErrorOptions) {
    super('The data of the tenant could not be measured. Try again later.', options);
  }
}

/** It is too late to abort: the last hop is committed, or the move has ended. */
export class MoveNotAbortable extends MoveError {
  override readonly name = 'MoveNotAbortable';
  constructor(why: string) {
    super(why);
  }
}

/** The hop is not committed in the source's database. */
export class HopNotCommitted extends MoveError {
  override readonly name = 'HopNotCommitted';
  constructor() {
    super('A part of the move is not committed.');
  }
}

/** Any error without a class of its own; the log holds the cause. */
export class MoveStepFailed extends MoveError {
  override readonly name = 'MoveStepFailed';
  constructor(options?: ErrorOptions) {
    super('An internal error stopped the move.', options);
  }
}
