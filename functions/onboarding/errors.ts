import { invalidInputMessage } from '../contracts/input-issues.ts';

// `placement` chooses a cell and `places` makes a tenant's place; their refusals end an onboarding like those below.
export { NoCellCapacity } from '../placement/errors.ts';
export {
  DedicatedStackFailed,
  DedicatedStackTimeout,
  DependencyUnavailable,
  ProxyBusy,
  ProxyLeaseLost,
  ProxySecretsExhausted,
  RegionQuotaExhausted,
  SizeNotOffered,
  TenantSecretInvalid,
  TenantUnreachable,
  UnknownCell,
} from '../places/errors.ts';

import type { Unsatisfied } from '../contracts/compliance.ts';
import type { Tier } from '../contracts/tenant.ts';

/**
 * Errors of onboarding. Other code relies on these rules:
 * - `name` equals the class name and survives minification: `workflows/` imports the classes for Retry and Catch, and a
 *   failed execution ends with that name.
 * - `message` may be shown to a client: it holds only the caller's own input and fixed text. Details for operators
 *   (hosts, ARNs, database messages) go into `cause`, which is only logged.
 */
export abstract class LifecycleError extends Error {
  abstract override readonly name: string;
}

/** One wrong field. */
interface InputIssue {
  /** Path of the field as it reads in a sentence, `a.b`; empty for the whole input. */
  readonly path: string;
  /** JSON pointer of the field; absent when `path` is the field's name. */
  readonly pointer?: string;
  readonly message: string;
}

/** The operator's input is malformed; `issues` names each field. */
export class InvalidOnboardingInput extends LifecycleError {
  override readonly name = 'InvalidOnboardingInput';
  readonly issues: readonly InputIssue[];
  constructor(issues: readonly InputIssue[]) {
    super(invalidInputMessage(issues));
    this.issues = issues;
  }
}

/** The slug belongs to a tenant whose onboarding has ended. */
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

/**
 * The slug belongs to a tenant that was registered with a different input and is being onboarded or failed. That tenant
 * stays as it is.
 */
export class TenantInputMismatch extends LifecycleError {
  override readonly name = 'TenantInputMismatch';
  constructor(slug: string, fields: string[]) {
    super(
      `The slug "${slug}" is being onboarded with a different input (${fields.join(', ')}). ` +
        'Resume it with the input it was started with, or choose another slug.',
    );
  }
}

/** The tenant to be cloned is being offboarded, or is erased: its clone would keep the data that is to be erased. */
export class CloneSourceLeaving extends LifecycleError {
  override readonly name = 'CloneSourceLeaving';
  constructor(status: 'offboarding' | 'offboarded') {
    super(`The tenant is ${status}: it cannot be cloned.`);
  }
}

/** The place of the tier does not satisfy the tenant's compliance requirements; `issues` names each. */
export class ComplianceUnsatisfied extends LifecycleError {
  override readonly name = 'ComplianceUnsatisfied';
  readonly issues: readonly Unsatisfied[];
  constructor(issues: readonly Unsatisfied[], sufficient: Tier) {
    const details = issues.map(({ detail }) => detail).join(' ');
    super(`The tier does not satisfy the compliance requirements: ${details} The tier ${sufficient} does.`);
    this.issues = issues;
  }
}

/** The workflow of the onboarding could not be started. The same request resumes it. */
export class OnboardingNotStarted extends LifecycleError {
  override readonly name = 'OnboardingNotStarted';
  constructor(options?: ErrorOptions) {
    super('The onboarding could not be started. Send the same request again.', options);
  }
}

/** The tenant failed, was removed or vanished while a phase of its onboarding ran. */
export class TenantNotProvisioning extends LifecycleError {
  override readonly name = 'TenantNotProvisioning';
  constructor() {
    super('The tenant is no longer being provisioned.');
  }
}

/** A phase ran before one that it depends on. */
export class OnboardingIncomplete extends LifecycleError {
  override readonly name = 'OnboardingIncomplete';
  constructor(missing: string) {
    super(`Onboarding is not complete: ${missing}.`);
  }
}

/** The data database holds another, or a newer, placement of this tenant. */
export class PlacementConflict extends LifecycleError {
  override readonly name = 'PlacementConflict';
  constructor(options?: ErrorOptions) {
    super('The data database holds a different placement of this tenant.', options);
  }
}

/** Any error without a class of its own; the log holds the cause. */
export class OnboardingStepFailed extends LifecycleError {
  override readonly name = 'OnboardingStepFailed';
  constructor(options?: ErrorOptions) {
    super('An internal error stopped onboarding.', options);
  }
}
