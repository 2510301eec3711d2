/**
 * Errors of metering. `name` equals the class name and survives minification. `message` holds nothing of hosts or
 * other tenants; what an operator needs besides travels in `cause`, which is only logged.
 */
export abstract class MeteringError extends Error {
  abstract override readonly name: string;
}

/** The tenant is not at home in the database that the registry names: a move has just ended. Measured next time. */
export class TenantElsewhere extends MeteringError {
  override readonly name = 'TenantElsewhere';
  constructor() {
    super('The tenant is not at home in the database that the registry names.');
  }
}

/** The metering function could not be run. Decisions then go by the samples there are. */
export class MeteringFailed extends MeteringError {
  override readonly name = 'MeteringFailed';
  constructor(options?: ErrorOptions) {
    super('Usage could not be metered.', options);
  }
}
