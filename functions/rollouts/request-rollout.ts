import { randomUUID } from 'node:crypto';
import type { Release } from '../database/provisioning/release.ts';
import type { RepeatableRequest } from '../registry/control-idempotency.ts';
import type { DataApi } from '../registry/data-api.ts';
import { lockByName } from '../registry/transaction-limits.ts';
import { RolloutInProgress, RolloutNotStarted } from './errors.ts';
import type { RolloutRequest } from './rollout-input.ts';
import { DEAD, mayStillRun, type StatusOf } from './rollout-phases.ts';
import { endRollout, findRollout, findRunning, insertRollout, requireTenants } from './rollout-records.ts';

export interface RequestRolloutOptions {
  /** Who asks for it. */
  readonly operator: string;
  readonly release: Pick<Release, 'schemaVersion' | 'tenancyVersion'>;
  /** What an execution of that name will be called by. */
  readonly executionArnOf: (name: string) => string;
  /** `StartExecution` of `schema-rollout`. */
  readonly start: (name: string, input: object) => Promise<void>;
  readonly statusOf: StatusOf;
  /** For a request that its client may send again. */
  readonly once?: RepeatableRequest | undefined;
}

/**
 * Asks for a rollout: it is recorded first, under the name that its execution will have, and started then. A repeated
 * request answers the first one's, and starts its execution again while that has not begun.
 * @returns the rollout's id.
 * @throws {RolloutInProgress | InvalidRolloutInput} nothing was changed.
 * @throws {RolloutNotStarted} the rollout is recorded as failed, unless an earlier request recorded it.
 */
export async function requestRollout(
  registry: Pick<DataApi, 'query' | 'transaction'>,
  { except }: RolloutRequest,
  { operator, release, executionArnOf, start, statusOf, once }: RequestRolloutOptions,
): Promise<string> {
  await requireTenants(registry, except);
  const newId = randomUUID();
  const running = await findRunning(registry);
  const dead = running && !(await mayStillRun(running, statusOf)) ? running.rolloutId : undefined;
  const { rolloutId, begun } = await registry.transaction(async (transaction) => {
    // Requests of one key, and of any two, come here one after the other.
    await lockByName(transaction, 'strata rollouts');
    const known = await once?.find(transaction);
    if (known) {
      const rollout = await findRollout(transaction, known);
      return { rolloutId: known, begun: rollout?.status !== 'running' || rollout.phase !== 'planned' };
    }
    if (dead) await endRollout(transaction, dead, { status: 'aborted', reason: DEAD });
    if (await findRunning(transaction)) throw new RolloutInProgress();
    await insertRollout(
      transaction,
      {
        rolloutId: newId,
        phase: 'planned',
        except,
        startedBy: operator,
        release,
        executionArn: executionArnOf(nameOf(newId)),
      },
      { id: operator, type: 'operator' },
    );
    await once?.keep(transaction, newId);
    return { rolloutId: newId, begun: false };
  });
  if (begun) return rolloutId;
  try {
    await start(nameOf(rolloutId), { except, rolloutId, startedBy: operator });
  } catch (cause) {
    // It has run, and may have ended: the record says how.
    if (rolloutId !== newId && (cause as Error).name === 'ExecutionAlreadyExists') return rolloutId;
    const error = new RolloutNotStarted({ cause });
    // The first request may have started it all the same, so only the first request gives it up.
    if (rolloutId === newId) {
      await registry.transaction(async (transaction) => {
        await endRollout(transaction, rolloutId, { status: 'failed', reason: error.message });
        await once?.forget(transaction);
      });
    }
    throw error;
  }
  return rolloutId;
}

const nameOf = (rolloutId: string) => `rollout-${rolloutId}`;
