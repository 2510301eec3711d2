/**
 * Errors of `registry-reconcile`. `name` equals the class name and survives minification. `message` is fit for an
 * operator; what else is known travels in `cause`, which is only logged.
 */
export abstract class ReconciliationError extends Error {
  abstract override readonly name: string;
}

/** The input is malformed. Nothing was compared. */
export class InvalidReconciliationInput extends ReconciliationError {
  override readonly name = 'InvalidReconciliationInput';
  constructor(options?: ErrorOptions) {
    super(
      'The input is not valid: { "apply": true or false, "registerLost": true or false } is expected.',
      options,
    );
  }
}

/** The registry knows no cell of the region, so no database could be asked. Nothing was compared. */
export class RegistryWithoutCells extends ReconciliationError {
  override readonly name = 'RegistryWithoutCells';
  constructor() {
    super(
      'The registry knows no cell of this region. Deploy first: a deployment registers regions and cells.',
    );
  }
}

/** Anything that no other class names; the log holds the cause. What was mended before stays mended: start it again. */
export class ReconciliationStepFailed extends ReconciliationError {
  override readonly name = 'ReconciliationStepFailed';
  constructor(options?: ErrorOptions) {
    super('An internal error stopped the comparison. Start it again.', options);
  }
}
