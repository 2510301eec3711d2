import type { AuditActor } from '../registry/audit-log.ts';
import type { DataApi } from '../registry/data-api.ts';
import { getTenant } from '../registry/tenant-record.ts';
import { boundTransaction } from '../registry/transaction-limits.ts';
import { OffboardingNotCancellable } from './errors.ts';
import { selectOffboardings } from './offboarding-records.ts';
import { returnTenant } from './request-offboarding.ts';

/** May be shown to a client. */
const CANCELLED = 'The offboarding was cancelled.';

/**
 * Cancels the tenant's offboarding: the tenant is served again, with nothing lost. The execution ends by itself.
 * @param reference id or slug.
 * @returns the id of the cancelled offboarding.
 * @throws {TenantNotFound}
 * @throws {OffboardingNotCancellable} none is running, or the erasure has begun.
 */
export function cancelOffboarding(
  registry: Pick<DataApi, 'transaction'>,
  reference: string,
  actor: AuditActor,
): Promise<string> {
  return registry.transaction(async (transaction) => {
    await boundTransaction(transaction);
    // The lock under which the erasure begins.
    const { tenantId } = await getTenant(transaction, reference, { lock: true });
    const [running] = await selectOffboardings(transaction, (all) =>
      all.where('o.tenant_id', '=', tenantId).where('o.status', '=', 'running'),
    );
    if (!running) throw new OffboardingNotCancellable('No offboarding of the tenant is running.');
    if (running.erasingSince !== null) {
      throw new OffboardingNotCancellable('The grace period is over, and the tenant is being erased.');
    }
    await returnTenant(transaction, running, { status: 'aborted', reason: CANCELLED }, actor);
    return running.offboardingId;
  });
}
