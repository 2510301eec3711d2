import { randomUUID } from 'node:crypto';
import type { Release } from '../database/provisioning/release.ts';
import type { DataApi } from '../registry/data-api.ts';
import { now } from '../registry/registry-expressions.ts';
import { registrySql } from '../registry/registry-sql.ts';
import { RolloutInProgress, RolloutOvertaken } from './errors.ts';
import type { RolloutInput } from './rollout-input.ts';
import {
  endRollout,
  findByExecution,
  findRollout,
  findRunning,
  insertRollout,
  type RolloutRecord,
  requireTenants,
} from './rollout-records.ts';
import { type Group, groupsOf, listTargets } from './rollout-targets.ts';

/** What has become of an execution; `none` where there is none of that name (yet). */
export type StatusOf = (executionArn: string) => Promise<'running' | 'failed' | 'ended' | 'none'>;

export interface BeginOptions {
  readonly input: RolloutInput;
  readonly executionArn: string;
  /** Key of the region whose targets are meant. */
  readonly region: string;
  readonly release: Release;
  readonly statusOf: StatusOf;
}

/** A request records its rollout a moment before it starts the execution. */
const TIME_TO_START_SECONDS = 60;

/**
 * Makes the rollout of an execution the one that runs, and lists its targets. Safe to repeat.
 * @throws {RolloutInProgress} another one runs. {RolloutOvertaken} the planned one has ended.
 * @throws {InvalidRolloutInput} `except` names an unknown tenant.
 */
export async function beginRollout(
  registry: Pick<DataApi, 'query' | 'transaction'>,
  options: BeginOptions,
): Promise<{ rolloutId: string; groups: Group[] }> {
  const { input, executionArn, region, release } = options;
  await requireTenants(registry, input.except);
  await abortDead(registry, options);
  return registry.transaction(async (transaction) => {
    const known = input.rolloutId
      ? await findRollout(transaction, input.rolloutId)
      : await findByExecution(transaction, executionArn);
    const isOurs = known?.status === 'running' && known.executionArn === executionArn;
    if ((known || input.rolloutId) && !isOurs) throw new RolloutOvertaken();
    const rolloutId = known?.rolloutId ?? randomUUID();
    if (!known) {
      const startedBy = input.startedBy ?? executionArn;
      await insertRollout(
        transaction,
        { rolloutId, phase: 'canary', except: input.except, executionArn, startedBy, release },
        { id: executionArn, type: 'workflow' },
      );
    } else if (known.phase === 'planned') {
      const { schemaVersion, tenancyVersion } = release;
      await registrySql(transaction)
        .updateTable('schema_rollouts')
        .set({
          phase: 'canary',
          schema_version: schemaVersion,
          tenancy_version: tenancyVersion,
          updated_at: now,
        })
        .where('rollout_id', '=', rolloutId)
        .execute();
    }
    if (!known || known.phase === 'planned') {
      await listTargets(transaction, { rolloutId, region, except: input.except }, release);
    }
    return { rolloutId, groups: await groupsOf(transaction, rolloutId) };
  });
}

/** Ends the rollout that is marked as running where its execution is dead. @throws {RolloutInProgress} it is not. */
async function abortDead(
  registry: Pick<DataApi, 'query' | 'transaction'>,
  { input, executionArn, statusOf }: Pick<BeginOptions, 'input' | 'executionArn' | 'statusOf'>,
): Promise<void> {
  const running = await findRunning(registry);
  if (!running || running.rolloutId === input.rolloutId || running.executionArn === executionArn) return;
  if (await mayStillRun(running, statusOf)) throw new RolloutInProgress();
  await endRollout(registry, running.rolloutId, { status: 'aborted', reason: DEAD });
}

export const DEAD = 'The workflow of the rollout ended before the rollout was done.';

/** Whether something may still be going on with the rollout's execution. */
export async function mayStillRun(
  { executionArn, phase, ageSeconds }: RolloutRecord,
  statusOf: StatusOf,
): Promise<boolean> {
  const status = executionArn === null ? 'none' : await statusOf(executionArn);
  if (status === 'none') return phase === 'planned' && ageSeconds < TIME_TO_START_SECONDS;
  return status === 'running';
}
