import { randomUUID } from 'node:crypto';
import { onStage, refused } from '../scenario.ts';

/** A transaction with one snapshot waits while the claim is taken from its attempt; its snapshot still shows the claim. */
export const snapshotThatWaitedForTheClaimsEnd = onStage('schema', async (stage) => {
  const { claim } = stage.code;
  const [owner, step] = [await stage.owner(), await stage.owner()];
  const attempt = { tenantId: stage.tenant.tenantId, epoch: 1, attemptId: randomUUID() };
  await claim.claimTenant(owner, attempt);
  let working: Promise<unknown> = Promise.resolve();
  await claim.exclusively(owner, attempt, async () => {
    await owner.query('UPDATE tenancy.placement SET mover = NULL WHERE tenant_id = $1', [attempt.tenantId]);
    working = claim.claimed(step, attempt, async () => {}, { isolation: 'repeatable read' });
    working.catch(() => {});
    await stage.somebodyWaits('shared');
  });
  const stopped = await refused(working, '40001', 'ClaimLost');
  return stopped ? [] : ['an attempt has committed a transaction after its claim was taken'];
});
