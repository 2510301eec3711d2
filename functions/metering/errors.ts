/**
 * Errors of metering. `name` equals the class name and survives minification. `message` holds no host and no other
 * tenant; `cause` has the details for operators and is only logged.
 */
export abstract class MeteringError extends Error {
  abstract override readonly name: string;
}

/**
 * The database that the registry names does not have the tenant, because a move has just ended. The next run measures
 * the tenant.
 */
export class TenantElsewhere extends MeteringError {
  override readonly name = 'TenantElsewhere';
  constructor() {
    super('The database that the registry names does not have the tenant.');
  }
}

/** The metering function could not be run. Decisions then use the samples of earlier days. */
export class MeteringFailed extends MeteringError {
  override readonly name = 'MeteringFailed';
  constructor(options?: ErrorOptions) {
    super('Usage could not be metered.', options);
  }
}
