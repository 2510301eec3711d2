/**
 * Errors of a move. `name` equals the class name and survives minification: `workflows/` imports the classes for Retry
 * and Catch. `message` is fit for a client; what an operator needs besides travels in `cause`, which is only logged.
 */
export abstract class MoveError extends Error {
  abstract override readonly name: string;
}

/** Somebody asked for the end of the move before its commit point. */
export class MoveAborted extends MoveError {
  override readonly name = 'MoveAborted';
  constructor() {
    super('The move was aborted.');
  }
}

/** The two sides of the move differ. Nothing is cleaned up: both are kept for a person to look at. */
export class MoveMismatch extends MoveError {
  override readonly name = 'MoveMismatch';
  constructor(options?: ErrorOptions) {
    super('The data of the two places differ; both are kept.', options);
  }
}

/** The pause could not be had, or not be kept short enough. Nothing was changed; transient. */
export class CutOverPostponed extends MoveError {
  override readonly name = 'CutOverPostponed';
  constructor(options?: ErrorOptions) {
    super(
      'The move could not be committed within the pause that is allowed, and will be tried again.',
      options,
    );
  }
}

/** The shared tables are older than this release: a rollout brings them up to date. Nothing was changed; transient. */
export class TablesUpgrading extends MoveError {
  override readonly name = 'TablesUpgrading';
  constructor(options?: ErrorOptions) {
    super('The tables of the cell are being upgraded. The move goes on once they are.', options);
  }
}

/** The tenant's tables are of a newer release than this one, which would leave behind what it does not know. */
export class TablesNewer extends MoveError {
  override readonly name = 'TablesNewer';
  constructor(version: number, known: number) {
    super(
      `The tenant's tables have schema version ${version}; this release knows ${known}. Deploy the newer release to move it.`,
    );
  }
}

/** The replication broke beyond repair (its slot was lost, or a change could not be applied). */
export class ReplicationBroken extends MoveError {
  override readonly name = 'ReplicationBroken';
  constructor(options?: ErrorOptions) {
    super('The replication to the new place broke.', options);
  }
}

/** Something that forbids a move: which rule, and what of the tenant or the target it minds. */
export interface Forbidden {
  readonly rule:
    | 'status'
    | 'moving'
    | 'mismatch'
    | 'nothing-to-move'
    | 'residency'
    | 'compliance'
    | 'cell'
    | 'users'
    | 'storage'
    | 'name';
  readonly detail: string;
}

/** One field that is wrong. */
interface InputIssue {
  /** As a sentence names it, `a.b`; empty for the whole input. */
  readonly path: string;
  /** JSON pointer of the field; absent where `path` is the name of one. */
  readonly pointer?: string;
  readonly message: string;
}

/** What was asked is malformed, or names a cell or residency that is not there; `issues` names each field. */
export class InvalidMoveInput extends MoveError {
  override readonly name = 'InvalidMoveInput';
  readonly issues: readonly InputIssue[];
  constructor(issues: readonly InputIssue[]) {
    // An input may have any number of unknown fields; a cause of Step Functions may not have any length.
    const told = issues
      .slice(0, 10)
      .map((issue) => `${issue.path.slice(0, 100) || 'input'}: ${issue.message}`);
    super(`The input is not valid: ${told.join('; ')}`);
    this.issues = issues;
  }
}

/** Another move of the tenant is under way. */
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

/** The tenant is where it was asked to go. */
export class NothingToMove extends MoveError {
  override readonly name = 'NothingToMove';
  constructor() {
    super('The tenant is there already.');
  }
}

/** The tenant is not active, has no place, or an earlier move left differences that a person has to look at. */
export class TenantNotMovable extends MoveError {
  override readonly name = 'TenantNotMovable';
  constructor(why: string) {
    super(why);
  }
}

/** The move, or its claim on the tenant, is over or another's: whoever meets this has nothing more to do. */
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

/** How much data the tenant has could not be found out. Nothing was changed. */
export class TenantNotMeasured extends MoveError {
  override readonly name = 'TenantNotMeasured';
  constructor(options?: ErrorOptions) {
    super('The data of the tenant could not be measured. Try again later.', options);
  }
}

/** It is too late to abort: the tenant has arrived, or the move has ended. */
export class MoveNotAbortable extends MoveError {
  override readonly name = 'MoveNotAbortable';
  constructor(why: string) {
    super(why);
  }
}

/** The hop is not committed in the database that the tenant leaves. */
export class HopNotCommitted extends MoveError {
  override readonly name = 'HopNotCommitted';
  constructor() {
    super('A part of the move is not committed.');
  }
}

/** Anything that no other class names; the log holds the cause. */
export class MoveStepFailed extends MoveError {
  override readonly name = 'MoveStepFailed';
  constructor(options?: ErrorOptions) {
    super('An internal error stopped the move.', options);
  }
}
