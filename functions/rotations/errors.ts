/** Errors of rotations. `name` equals the class name; a message may be shown to a client. */

/** A rotation of the tenant that was requested is running. */
export class RotationInProgress extends Error {
  override readonly name = 'RotationInProgress';
  constructor() {
    super('The fields of the tenant are being encrypted again already.');
  }
}

/** The tenant has no data here that could be encrypted again. */
export class TenantNotRotatable extends Error {
  override readonly name = 'TenantNotRotatable';
}

/** Some rotations, or copies of keys, could not go on, for reasons that need a person or last. The next run tries them again. */
export class RotationsFailed extends Error {
  override readonly name = 'RotationsFailed';
  constructor(failures: number, options?: ErrorOptions) {
    super(`Fields could not be encrypted again, or keys not copied: ${failures} failures.`, options);
  }
}
