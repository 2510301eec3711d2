import { randomUUID } from 'node:crypto';
import type { Release } from '../database/provisioning/release.ts';
import type { RepeatableRequest } from '../registry/control-idempotency.ts';
import type { DataApi } from '../registry/data-api.ts';
import { recordAndStart } from '../registry/record-and-start.ts';
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
 * Requests a rollout.
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
  return recordAndStart(registry, once, {
    newId,
    // Serializes all requests, with the same or with different keys.
    lock: (transaction) => lockByName(transaction, 'strata rollouts'),
    find: findRollout,
    record: async (transaction) => {
      if (dead) await endRollout(transaction, dead, { status: 'aborted', reason: DEAD });
      if (await findRunning(transaction)) throw new RolloutInProgress();
      const executionArn = executionArnOf(nameOf(newId));
      await insertRollout(
        transaction,
        { rolloutId: newId, phase: 'planned', except, startedBy: operator, release, executionArn },
        { id: operator, type: 'operator' },
      );
    },
    start: (rolloutId) => start(nameOf(rolloutId), { except, rolloutId, startedBy: operator }),
    notStarted: (options) => new RolloutNotStarted(options),
    giveUp: async (transaction, reason) => {
      await endRollout(transaction, newId, { status: 'failed', reason });
    },
  });
}

const nameOf = (rolloutId: string) => `rollout-${rolloutId}`;
