import { bootstrapDedicatedDatabase } from '../../places/bootstrap-dedicated-database.ts';
import type { StepContext, StepOutcome } from '../hop.ts';

/**
 * Prepares the tenant's own database, new or of an earlier stay, at this code's version.
 * @throws {TenantSecretInvalid} and the errors of the driver and of Secrets Manager.
 */
export async function bootstrapTarget(context: StepContext): Promise<StepOutcome> {
  const { attempt, target } = context.hop;
  if (target.isolationModel !== 'dedicated') return { done: true };
  const { writerHost, port, database, ownerSecret } = target;
  if (writerHost === null || port === null) throw new TypeError('the dedicated database is not launched yet');
  await context.progress({});
  const place = { writerHost, port, database, ownerSecret };
  const { tenancyVersion } = await bootstrapDedicatedDatabase(attempt.tenantId, place);
  await context.amendTarget({ tenancyVersion });
  return { done: true };
}
