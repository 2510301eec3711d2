/**
 * Errors of a rollout. `name` equals the class name and survives minification: `workflows/` imports the classes for
 * Retry and Catch. `message` may be shown to an operator; `cause` has the details and is only logged.
 */
export abstract class RolloutError extends Error {
  abstract override readonly name: string;
}

/** Another rollout is running in the region. Nothing was changed; transient. */
export class RolloutInProgress extends RolloutError {
  override readonly name = 'RolloutInProgress';
  constructor() {
    super('Another schema rollout is running.');
  }
}

/** The workflow could not be started. */
export class RolloutNotStarted extends RolloutError {
  override readonly name = 'RolloutNotStarted';
  constructor(options?: ErrorOptions) {
    super('The schema rollout could not be started. Try again later.', options);
  }
}

/** The execution's rollout has ended, or belongs to another execution. */
export class RolloutOvertaken extends RolloutError {
  override readonly name = 'RolloutOvertaken';
  constructor() {
    super('The schema rollout has ended already.');
  }
}

/** One problem of the input; `pointer` is a JSON pointer into it. */
export interface InputIssue {
  readonly pointer: string;
  readonly message: string;
}

export class InvalidRolloutInput extends RolloutError {
  override readonly name = 'InvalidRolloutInput';
  readonly issues: readonly InputIssue[];
  constructor(issues: readonly InputIssue[]) {
    const told = issues.slice(0, 10).map(({ pointer, message }) => `${pointer || 'input'}: ${message}`);
    super(`The input is not valid: ${told.join('; ')}`);
    this.issues = issues;
  }
}

/** A target failed, or could not be reached because of a move; the rollout lists each with its reason. */
export class RolloutFailed extends RolloutError {
  override readonly name = 'RolloutFailed';
}

/** Any error without a class of its own; the log holds the cause. */
export class RolloutStepFailed extends RolloutError {
  override readonly name = 'RolloutStepFailed';
  constructor(options?: ErrorOptions) {
    super('An internal error stopped the schema rollout.', options);
  }
}
