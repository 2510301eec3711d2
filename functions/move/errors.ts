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

/** The replication broke beyond repair (its slot was lost, or a change could not be applied). */
export class ReplicationBroken extends MoveError {
  override readonly name = 'ReplicationBroken';
  constructor(options?: ErrorOptions) {
    super('The replication to the new place broke.', options);
  }
}
