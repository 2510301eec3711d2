import { tenantSecretName } from '../../placement/tenant-names.ts';
import { ensureTenantSecret } from '../../places/tenant-secret.ts';
import type { StepContext, StepOutcome } from '../hop.ts';
import { targetTier } from './target-tier.ts';

/**
 * Creates the secret of the role that the tenant will have in a cell, before the role. A dedicated database has it from
 * its stack, and shared tables have the cell's.
 *
 * A run that comes after the end of its attempt leaves a secret that nobody uses. It must not delete it: it cannot know
 * whether the place was committed meanwhile, and has that secret.
 * @throws {MoveAborted}
 * @throws {TenantSecretInvalid} the name is taken by a secret of another role.
 */
export async function provideCredentials(
  context: StepContext,
  { kmsKeyArn, awsRegion }: { readonly kmsKeyArn: string | undefined; readonly awsRegion?: string },
): Promise<StepOutcome> {
  const {
    attempt: { tenantId },
    target,
  } = context.hop;
  if (target.isolationModel !== 'schema') return { done: true };
  const { roleName, host, port, database } = target;
  if (host === null || port === null) throw new TypeError('the cell has no proxy');
  await context.progress({});
  const secretArn = await ensureTenantSecret({
    ...{ name: tenantSecretName(tenantId, roleName), kmsKeyArn, roleName, host, port, database },
    awsRegion,
    tags: { 'strata:tenant-id': tenantId, 'strata:tier': targetTier(target) },
  });
  await context.amendTarget({ secretArn });
  return { done: true };
}
