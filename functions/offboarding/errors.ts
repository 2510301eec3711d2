/**
 * Errors of an offboarding. `name` equals the class name and survives minification: `workflows/` imports the classes for
 * Retry and Catch. `message` may be shown to a client; `cause` has the details for operators and is only logged.
 */
export abstract class OffboardingError extends Error {
  abstract override readonly name: string;
}

/** An offboarding of the tenant is running. Nothing was changed. */
export class OffboardingInProgress extends OffboardingError {
  override readonly name = 'OffboardingInProgress';
  constructor() {
    super('The tenant is being offboarded already.');
  }
}

/** The tenant cannot be offboarded in its present state. Nothing was changed. */
export class TenantNotOffboardable extends OffboardingError {
  override readonly name = 'TenantNotOffboardable';
}

/** An operator has set a legal hold: the tenant must not be erased until it is released. Nothing was changed, or erased. */
export class TenantHeld extends OffboardingError {
  override readonly name = 'TenantHeld';
  constructor(options?: ErrorOptions) {
    super(
      'The tenant has a legal hold: it must not be erased. The reason is the legalHold of the tenant; release it first.',
      options,
    );
  }
}

/** Other work of the tenant must end first. Nothing was changed, or erased. */
export class TenantBusy extends OffboardingError {
  override readonly name = 'TenantBusy';
  /** @param work such as `A move of the tenant is running.` */
  constructor(work: string, options?: ErrorOptions) {
    super(work, options);
  }
}

/** The workflow could not be started. The tenant is as it was. */
export class OffboardingNotStarted extends OffboardingError {
  override readonly name = 'OffboardingNotStarted';
  constructor(options?: ErrorOptions) {
    super('The offboarding could not be started. Try again later.', options);
  }
}

/** The offboarding has ended, or the erasure has begun. Nothing was changed. */
export class OffboardingNotCancellable extends OffboardingError {
  override readonly name = 'OffboardingNotCancellable';
}

/** The offboarding was cancelled, or has ended in another way. */
export class OffboardingOvertaken extends OffboardingError {
  override readonly name = 'OffboardingOvertaken';
  constructor(options?: ErrorOptions) {
    super('The offboarding has ended already.', options);
  }
}

/** The input of the execution names no offboarding. */
export class InvalidOffboardingInput extends OffboardingError {
  override readonly name = 'InvalidOffboardingInput';
  constructor(options?: ErrorOptions) {
    super('The input is not valid: name one tenant, by tenantId or slug.', options);
  }
}

/** The final export did not succeed. The tenant is served again. */
export class FinalExportFailed extends OffboardingError {
  override readonly name = 'FinalExportFailed';
  constructor(why: string) {
    super(`The final export did not succeed: ${why}`);
  }
}

/** A search after the erasure has found something. No certificate is issued; recovery erases again. */
export class ErasureIncomplete extends OffboardingError {
  override readonly name = 'ErasureIncomplete';
  constructor(store: string, found: Readonly<Record<string, number>>) {
    const left = Object.entries(found).map(([what, count]) => `${count} ${what}`);
    super(`Not everything is erased in ${store}: ${left.join(', ')}.`);
  }
}

/** Any error without a class of its own; the log holds the cause. */
export class OffboardingStepFailed extends OffboardingError {
  override readonly name = 'OffboardingStepFailed';
  constructor(options?: ErrorOptions) {
    super('A phase of the offboarding failed.', options);
  }
}
