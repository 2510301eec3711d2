import { randomUUID } from 'node:crypto';
import type { Fence } from '../../../../functions/database/transfer/fence.ts';
import { until } from '../../../enter-tenant.ts';
import { onStage, refused } from '../scenario.ts';

class Undone extends Error {
  override name = 'Undone';
}

/**
 * What a mover may not do though no write would be lost by that alone, because another guard stands behind it: the
 * second lines of the model.
 */
export const moverOutOfTurn = onStage('schema', async (stage) => {
  const { claim, fence } = stage.code;
  const { tenantId } = stage.tenant;
  const [owner, other] = [await stage.owner(), await stage.owner()];
  const attempt = { tenantId, epoch: 1, attemptId: randomUUID() };
  const violations: string[] = [];
  const never = async (violation: string, step: Promise<unknown>, ...errors: string[]) => {
    if (!(await refused(step, ...errors))) violations.push(violation);
  };
  const flip = (raised: Fence) =>
    fence
      .withoutWriters(owner, tenantId, async () => {
        await fence.commitRelocate(owner, attempt, raised, { forward: {} });
        throw new Undone();
      })
      .catch((error: Error) => {
        if (error.name !== 'Undone') throw error;
      });

  await claim.claimTenant(owner, attempt);
  const brief = await fence.raiseFence(owner, attempt, { seconds: 0.01 });
  await until(async () => {
    const { rows } = await owner.query(
      'SELECT fence_expires_at < clock_timestamp() AS over FROM tenancy.placement WHERE tenant_id = $1',
      [tenantId],
    );
    return rows[0].over;
  });
  await never('a flip counts after its fence has run out', flip(brief), 'FenceLost');
  const standing = await fence.raiseFence(owner, attempt);
  const raising = fence.raiseFence(other, attempt, { patienceMs: 0 });
  await never('a standing fence is replaced', raising, 'WritersBusy');
  await fence.lowerFence(owner, attempt, brief);
  if (!(await stage.isFenced())) violations.push('a fence is lowered by who raised another one');
  await claim.releaseClaim(owner, attempt);
  await never('a flip counts without the claim', flip(standing), 'FenceLost');
  await fence.lowerFence(owner, attempt, standing);
  await never('writers are paused without the claim', fence.raiseFence(owner, attempt), 'ClaimLost');
  return violations;
});
