import { type CaughtError, reasonOfFailure } from '../aws/caught-error.ts';
import { type AuditActor, recordAudit } from '../registry/audit-log.ts';
import type { DataApi, RegistryExecutor } from '../registry/data-api.ts';
import { now } from '../registry/registry-expressions.ts';
import { registrySql } from '../registry/registry-sql.ts';
import * as errors from './errors.ts';
import type { OnboardingInput } from './onboarding-input.ts';
import { differingFields, findForUpdate } from './register-tenant.ts';

/** The tenant's `status_reason` and the execution's cause. May be shown to a client. */
export function reasonOf(failure: CaughtError): string {
  const fallback = 'An internal error stopped onboarding.';
  return reasonOfFailure(failure, { what: 'onboarding', vouched: errors, fallback });
}

interface Failure {
  /** May be shown to a client. */
  readonly reason: string;
  readonly executionArn: string;
  readonly actor: AuditActor;
}

/**
 * Marks a tenant as failed if it names this execution and is still being provisioned. Its resources stay, so that the
 * same input can resume.
 * @returns true when it was marked.
 */
export function failTenant(registry: DataApi, tenantId: string, failure: Failure): Promise<boolean> {
  return registry.transaction((transaction) => markFailed(transaction, tenantId, failure));
}

/** The same, in the caller's transaction. */
export async function markFailed(
  transaction: RegistryExecutor,
  tenantId: string,
  { reason, executionArn, actor }: Failure,
): Promise<boolean> {
  const marked = await registrySql(transaction)
    .updateTable('tenants')
    .set({ status: 'failed', status_reason: reason, updated_at: now })
    .where('tenant_id', '=', tenantId)
    .where('status', '=', 'provisioning')
    .where((eb) => eb.or([eb('execution_arn', 'is', null), eb('execution_arn', '=', executionArn)]))
    .returning('tenant_id')
    .execute();
  if (marked.length === 0) return false;
  await recordAudit(transaction, { actor, action: 'tenant.fail', tenantId, data: { reason } });
  return true;
}

/**
 * The tenant that an API call registered with this input for this execution, or for no execution: the one to mark when
 * the register phase itself fails.
 */
export function findUnclaimed(
  registry: DataApi,
  input: OnboardingInput,
  executionArn?: string,
): Promise<string | undefined> {
  return registry.transaction(async (transaction) => {
    const tenant = await findForUpdate(transaction, input.slug);
    if (!tenant || differingFields(tenant, input).length > 0) return undefined;
    const unclaimed = tenant.executionArn === null || tenant.executionArn === executionArn;
    return unclaimed ? tenant.tenantId : undefined;
  });
}
