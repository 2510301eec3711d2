/**
 * Errors of `registry-reconcile`. `name` equals the class name and survives minification. `message` may be shown to an
 * operator; `cause` has further details and is only logged.
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

/** The registry has no cell of the region, so no database can be read. Nothing was compared. */
export class RegistryWithoutCells extends ReconciliationError {
  override readonly name = 'RegistryWithoutCells';
  constructor() {
    super('The registry has no cell of this region. Deploy first: a deployment registers regions and cells.');
  }
}

/** Any error without a class of its own; the log holds the cause. Tenants mended before stay mended: start it again. */
export class ReconciliationStepFailed extends ReconciliationError {
  override readonly name = 'ReconciliationStepFailed';
  constructor(options?: ErrorOptions) {
    super('An internal error stopped the comparison. Start it again.', options);
  }
}
