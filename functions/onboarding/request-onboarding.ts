import { randomUUID } from 'node:crypto';
import type { AuditActor } from '../registry/audit-log.ts';
import type { RepeatableRequest } from '../registry/control-idempotency.ts';
import type { DataApi } from '../registry/data-api.ts';
import type { TenantRecord } from '../registry/tenant-record.ts';
import { OnboardingNotStarted } from './errors.ts';
import { markFailed } from './fail-tenant.ts';
import { type ExecutionProbe, isDead, namedExecution } from './onboarding-executions.ts';
import type { OnboardingInput } from './onboarding-input.ts';
import { registerTenant } from './register-tenant.ts';
import type { RegistrationRegion } from './registration-region.ts';

export interface RequestOnboardingOptions {
  readonly actor: AuditActor;
  readonly region: RegistrationRegion;
  /** The ARN that an execution of `tenant-onboarding` with that name gets. */
  readonly executionArnOf: (name: string) => string;
  readonly statusOf: ExecutionProbe;
  /** Calls `StartExecution` of `tenant-onboarding`. */
  readonly start: (name: string, input: object) => Promise<void>;
  readonly once?: RepeatableRequest | undefined;
  /** The tenant that the new one is to be a copy of. */
  readonly cloneOf?: string | undefined;
}

/** Step Functions allows 80 characters; a UUID has 36. */
const SLUG_CHARACTERS = 43;

/**
 * Requests an onboarding: registers the tenant with the name of its future execution, then starts the execution. A
 * tenant with another living execution stays with that one.
 * @throws the refusals of `registerTenant`: nothing was changed.
 * @throws {OnboardingNotStarted} the tenant is `failed`; the same request resumes it.
 */
export async function requestOnboarding(
  registry: DataApi,
  input: OnboardingInput,
  { actor, region, executionArnOf, statusOf, start, once, cloneOf }: RequestOnboardingOptions,
): Promise<TenantRecord> {
  const name = `${input.slug.slice(0, SLUG_CHARACTERS)}-${randomUUID()}`;
  const executionArn = executionArnOf(name);
  const former = await namedExecution(registry, input.slug);
  const dead = former && isDead(await statusOf(former.executionArn), former.ageSeconds);
  const replaces = dead ? former.executionArn : undefined;
  const planned = { executionArn, replaces };
  const tenant = await registerTenant(registry, input, { actor, region, planned, once, cloneOf });
  if (tenant.executionArn !== executionArn) return tenant;
  try {
    await start(name, input);
  } catch (cause) {
    const error = new OnboardingNotStarted({ cause });
    await registry.transaction(async (transaction) => {
      await markFailed(transaction, tenant.tenantId, { reason: error.message, executionArn, actor });
      await once?.forget(transaction);
    });
    throw error;
  }
  return tenant;
}
