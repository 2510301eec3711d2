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
  /** The ARN that an execution of `tenant-onboarding` with that name has. */
  readonly executionArnOf: (name: string) => string;
  readonly statusOf: ExecutionProbe;
  /** `StartExecution` of `tenant-onboarding`. */
  readonly start: (name: string, input: object) => Promise<void>;
  readonly once?: RepeatableRequest | undefined;
}

/** Step Functions takes 80 characters; a UUID has 36. */
const SLUG_CHARACTERS = 43;

/**
 * Asks for an onboarding: the tenant is registered first, with the name that its execution will have, and the execution
 * is started then. A tenant that another living execution works on is left to it.
 * @throws the refusals of `registerTenant`: nothing was changed.
 * @throws {OnboardingNotStarted} the tenant is `failed`, and the same request takes it up again.
 */
export async function requestOnboarding(
  registry: DataApi,
  input: OnboardingInput,
  { actor, region, executionArnOf, statusOf, start, once }: RequestOnboardingOptions,
): Promise<TenantRecord> {
  const name = `${input.slug.slice(0, SLUG_CHARACTERS)}-${randomUUID()}`;
  const executionArn = executionArnOf(name);
  const former = await namedExecution(registry, input.slug);
  const dead = former && isDead(await statusOf(former.executionArn), former.ageSeconds);
  const replaces = dead ? former.executionArn : undefined;
  const planned = { executionArn, replaces };
  const tenant = await registerTenant(registry, input, { actor, region, planned, once });
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
