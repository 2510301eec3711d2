// Choosing a cell belongs to `placement`, and making what tenants live in to `provisioning`, but their refusals end an
// onboarding like those below.
export { NoCellCapacity } from '../placement/errors.ts';
export {
  DedicatedStackFailed,
  DedicatedStackTimeout,
  DependencyUnavailable,
  ProxyBusy,
  ProxyLeaseLost,
  ProxySecretsExhausted,
  RegionQuotaExhausted,
  TenantSecretInvalid,
  TenantUnreachable,
  UnknownCell,
} from '../places/errors.ts';

import type { Unsatisfied } from '../contracts/compliance.ts';
import type { Tier } from '../contracts/tenant.ts';

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

/** One field that is wrong. */
interface InputIssue {
  /** As a sentence names it, `a.b`; empty for the whole input. */
  readonly path: string;
  /** JSON pointer of the field; absent where `path` is the name of one. */
  readonly pointer?: string;
  readonly message: string;
}

/** The operator's input is malformed; `issues` names each field. */
export class InvalidOnboardingInput extends LifecycleError {
  override readonly name = 'InvalidOnboardingInput';
  readonly issues: readonly InputIssue[];
  constructor(issues: readonly InputIssue[]) {
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

/** The tier's place does not satisfy the tenant's compliance requirements; `issues` names each. */
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

/** The data database holds another, or a newer, placement of this tenant. */
export class PlacementConflict extends LifecycleError {
  override readonly name = 'PlacementConflict';
  constructor(options?: ErrorOptions) {
    super('The data database holds a different placement of this tenant.', options);
  }
}

/** Anything that no other class names; the log holds the cause. */
export class OnboardingStepFailed extends LifecycleError {
  override readonly name = 'OnboardingStepFailed';
  constructor(options?: ErrorOptions) {
    super('An internal error stopped onboarding.', options);
  }
}
