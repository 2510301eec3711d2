// Choosing a cell belongs to `placement`, but its refusal ends an onboarding like those below.
export { NoCellCapacity } from '../placement/errors.ts';

/**
 * Errors of a tenant's lifecycle. Rules that the rest relies on:
 * - `name` equals the class name and survives minification: `workflows/` imports the classes for Retry and Catch,
 *   and a failed execution ends with that name.
 * - `message` is fit for a client: it holds nothing but the caller's own input and fixed text. What an operator needs
 *   besides (hosts, ARNs, database messages) travels in `cause`, which is logged and never shown.
 */
export abstract class LifecycleError extends Error {
  abstract override readonly name: string;
}

/** The operator's input is malformed; `issues` names each field. */
export class InvalidOnboardingInput extends LifecycleError {
  override readonly name = 'InvalidOnboardingInput';
  readonly issues: { path: string; message: string }[];
  constructor(issues: { path: string; message: string }[]) {
    // An input may have any number of unknown fields; a cause of Step Functions may not have any length.
    const told = issues
      .slice(0, 10)
      .map((issue) => `${issue.path.slice(0, 100) || 'input'}: ${issue.message}`);
    super(`The input is not valid: ${told.join('; ')}`);
    this.issues = issues;
  }
}

/** The slug belongs to a tenant that is past onboarding. */
export class TenantExists extends LifecycleError {
  override readonly name = 'TenantExists';
  constructor(slug: string) {
    super(`A tenant with the slug "${slug}" already exists.`);
  }
}

/** The name belongs to a tenant with another slug. */
export class TenantNameTaken extends LifecycleError {
  override readonly name = 'TenantNameTaken';
  constructor(tenantName: string) {
    super(`A tenant with the name "${tenantName}" already exists.`);
  }
}

/** The slug is being onboarded, or failed to be, with a different input; that tenant is left as it is. */
export class TenantInputMismatch extends LifecycleError {
  override readonly name = 'TenantInputMismatch';
  constructor(slug: string, fields: string[]) {
    super(
      `The slug "${slug}" is being onboarded with a different input (${fields.join(', ')}). ` +
        'Resume it with the input it was started with, or choose another slug.',
    );
  }
}

/** The tenant failed, left or vanished while one of its onboarding steps was still under way. */
export class TenantNotProvisioning extends LifecycleError {
  override readonly name = 'TenantNotProvisioning';
  constructor() {
    super('The tenant is no longer being provisioned.');
  }
}

/** A step ran before the one that it depends on. */
export class OnboardingIncomplete extends LifecycleError {
  override readonly name = 'OnboardingIncomplete';
  constructor(missing: string) {
    super(`Onboarding is not complete: ${missing}.`);
  }
}

/** The tenant's (or its owner's) secret has not the form `{ username, password }` that Strata writes. */
export class TenantSecretInvalid extends LifecycleError {
  override readonly name = 'TenantSecretInvalid';
  constructor(options?: ErrorOptions) {
    super('The stored credentials of the tenant are not usable.', options);
  }
}

/** The data database holds another, or a newer, placement of this tenant. */
export class PlacementConflict extends LifecycleError {
  override readonly name = 'PlacementConflict';
  constructor(options?: ErrorOptions) {
    super('The data database holds a different placement of this tenant.', options);
  }
}

/** CloudFormation could not create the dedicated database; started again, onboarding replaces the failed stack. */
export class DedicatedStackFailed extends LifecycleError {
  override readonly name = 'DedicatedStackFailed';
  constructor(options?: ErrorOptions) {
    super('The dedicated database could not be created.', options);
  }
}

/** The dedicated database was not ready in time; started again, onboarding goes on waiting for the same stack. */
export class DedicatedStackTimeout extends LifecycleError {
  override readonly name = 'DedicatedStackTimeout';
  constructor() {
    super('The dedicated database was not ready in time.');
  }
}

/** The registry has no such cell. */
export class UnknownCell extends LifecycleError {
  override readonly name = 'UnknownCell';
  constructor() {
    super('The cell is not known.');
  }
}

/** A proxy takes 200 secrets (AWS quota); the cell holds more tenants than that. */
export class ProxySecretsExhausted extends LifecycleError {
  override readonly name = 'ProxySecretsExhausted';
  constructor() {
    super('The proxy of the cell takes no more credentials.');
  }
}

/** Another session holds the proxy's lease, or the proxy is being modified. Transient. */
export class ProxyBusy extends LifecycleError {
  override readonly name = 'ProxyBusy';
  constructor(options?: ErrorOptions) {
    super('The proxy of the cell is being changed by another operation.', options);
  }
}

/** The lease ran out while the proxy was being changed: the change may have raced another. Transient. */
export class ProxyLeaseLost extends LifecycleError {
  override readonly name = 'ProxyLeaseLost';
  constructor() {
    super('The lease on the proxy was lost while it was being changed.');
  }
}

/** The tenant's own credentials do not (yet) reach its data through the proxy. Transient for a while. */
export class TenantUnreachable extends LifecycleError {
  override readonly name = 'TenantUnreachable';
  constructor(options?: ErrorOptions) {
    super("The tenant's data could not be reached with its own credentials.", options);
  }
}

/** A service or database that a step needs did not answer, or refused for the moment. Transient. */
export class DependencyUnavailable extends LifecycleError {
  override readonly name = 'DependencyUnavailable';
  constructor(options?: ErrorOptions) {
    super('A service that onboarding depends on is unavailable.', options);
  }
}

/** Anything that no other class names; the log holds the cause. */
export class OnboardingStepFailed extends LifecycleError {
  override readonly name = 'OnboardingStepFailed';
  constructor(options?: ErrorOptions) {
    super('An internal error stopped onboarding.', options);
  }
}
