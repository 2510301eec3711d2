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
  /** Who requested it. */
  readonly operator: string;
  readonly release: Pick<Release, 'schemaVersion' | 'tenancyVersion'>;
  /** The ARN that an execution of that name gets. */
  readonly executionArnOf: (name: string) => string;
  /** Calls `StartExecution` of `schema-rollout`. */
  readonly start: (name: string, input: object) => Promise<void>;
  readonly statusOf: StatusOf;
  /** For a request that the client may repeat. */
  readonly once?: RepeatableRequest | undefined;
}

/**
 * Requests a rollout: records it with the name of its future execution, then starts the execution. A repeated request
 * returns the first one's rollout, and starts its execution again while that has not begun.
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
    // This lock serializes all requests, with the same or with different keys.
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
    // It has run and may have ended: the record has the outcome.
    if (rolloutId !== newId && (cause as Error).name === 'ExecutionAlreadyExists') return rolloutId;
    const error = new RolloutNotStarted({ cause });
    // A failed start may have worked after all, so only the request that recorded the rollout marks it as failed.
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
