import type { RegistryExecutor } from '../registry/data-api.ts';
import { RolloutFailed } from './errors.ts';
import { endRollout } from './rollout-records.ts';
import { countTargets } from './rollout-targets.ts';

/**
 * Ends a rollout whose waves are over.
 * @throws {RolloutFailed} some targets were not brought up to date; the rollout is recorded as failed.
 */
export async function finishRollout(registry: RegistryExecutor, rolloutId: string): Promise<void> {
  const { failed, pending, deferred, succeeded } = await countTargets(registry, rolloutId);
  const left = pending + deferred;
  if (failed + left === 0) {
    await endRollout(registry, rolloutId, { status: 'succeeded', reason: null });
    return;
  }
  const notBegun = left > 0 ? ` ${left} were not begun.` : '';
  const reason = `${failed} of ${failed + left + succeeded} targets failed.${notBegun} Start another rollout to go on.`;
  await endRollout(registry, rolloutId, { status: 'failed', reason });
  throw new RolloutFailed(reason);
}
