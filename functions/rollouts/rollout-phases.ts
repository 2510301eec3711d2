import { randomUUID } from 'node:crypto';
import type { Release } from '../database/provisioning/release.ts';
import type { DataApi, RegistryExecutor } from '../registry/data-api.ts';
import { now } from '../registry/registry-expressions.ts';
import { registrySql } from '../registry/registry-sql.ts';
import { RolloutFailed, RolloutInProgress, RolloutOvertaken } from './errors.ts';
import type { RolloutInput } from './rollout-input.ts';
import {
  endRollout,
  findByExecution,
  findRollout,
  findRunning,
  insertRollout,
  type RolloutRecord,
  requireTenants,
  setPhase,
} from './rollout-records.ts';
import {
  canariesOf,
  countTargets,
  type Group,
  groupsOf,
  listTargets,
  openTargets,
  recordOutcomes,
} from './rollout-targets.ts';
import { type RunOptions, runTargets } from './run-targets.ts';

/** State of an execution; `none` when no execution has that name (yet). */
export type StatusOf = (executionArn: string) => Promise<'running' | 'failed' | 'ended' | 'none'>;

export interface BeginOptions {
  readonly input: RolloutInput;
  readonly executionArn: string;
  /** Key of the region of the targets. */
  readonly region: string;
  readonly release: Release;
  readonly statusOf: StatusOf;
}

/** A request records its rollout a moment before it starts the execution. */
const TIME_TO_START_SECONDS = 60;

/**
 * Makes the rollout of an execution the running one, and lists its targets. Safe to repeat.
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

/**
 * Ends the rollout that is marked as running if its execution is dead. @throws {RolloutInProgress} the execution lives.
 */
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

/** True while the rollout's execution may still work. */
export async function mayStillRun(
  { executionArn, phase, ageSeconds }: RolloutRecord,
  statusOf: StatusOf,
): Promise<boolean> {
  const status = executionArn === null ? 'none' : await statusOf(executionArn);
  if (status === 'none') return phase === 'planned' && ageSeconds < TIME_TO_START_SECONDS;
  return status === 'running';
}

/** Targets per query of the registry: a result may have 1 MiB. */
const BATCH = 500;
/** Candidates for the canary of one model, because moves may keep the first ones. */
const CANDIDATES = 10;
/** How often a target that a move keeps is tried; the workflow pauses 30 s between two tries. */
const MAX_DEFERRALS = 60;

/** What the workflow does next: call again at once, call again after a pause, or continue. */
export type Next = 'again' | 'wait' | 'done';

/**
 * Works on one target of each isolation model, a cell first, before the rest. A model has no canary when moves keep all
 * its candidates.
 * @throws {RolloutOvertaken} and the registry's errors.
 * @returns `again` when time ran out; `failed` when a target failed, and then the workflow starts no other target.
 */
export async function runCanaries(options: RunOptions): Promise<{ next: 'again' | 'done' | 'failed' }> {
  const { registry, rolloutId, deadline } = options;
  if ((await findRollout(registry, rolloutId))?.status !== 'running') throw new RolloutOvertaken();
  // The phase may be called again.
  if ((await countTargets(registry, rolloutId)).failed > 0) return { next: 'failed' };
  for (const model of ['shared', 'schema', 'dedicated'] as const) {
    for (const candidate of await canariesOf(registry, rolloutId, model, CANDIDATES)) {
      if (performance.now() >= deadline) return { next: 'again' };
      // With all its tries, which take a minute.
      const { failed, deferred } = await runTargets([candidate], { ...options, deadline: Infinity });
      if (failed) return { next: 'failed' };
      if (deferred.length === 0) break;
    }
  }
  return { next: 'done' };
}

/**
 * Works on the targets of a group until the deadline, its cell first.
 * @throws {RolloutOvertaken} and the registry's errors.
 */
export async function runWave(group: Group, options: RunOptions): Promise<{ next: Next }> {
  const { registry, rolloutId, deadline } = options;
  if (!(await setPhase(registry, rolloutId, 'waves'))) throw new RolloutOvertaken();
  const tried: string[] = [];
  for (;;) {
    if ((await countTargets(registry, rolloutId, group)).failed > 0) return { next: 'done' };
    const batch = await openTargets(registry, { rolloutId, group, without: tried }, BATCH);
    if (batch.length === 0) break;
    if (performance.now() >= deadline) return { next: 'again' };
    const cell = batch.filter(({ place }) => place?.kind === 'cell');
    const { deferred } = await runTargets(cell.length > 0 ? cell : batch, options);
    tried.push(...deferred);
  }
  return { next: (await giveUpDeferred(group, options)) ? 'wait' : 'done' };
}

/** Marks targets that were deferred too often as failed. @returns true while some are left to wait for. */
async function giveUpDeferred(group: Group, { registry, rolloutId }: RunOptions): Promise<boolean> {
  const deferred = await openTargets(registry, { rolloutId, group, without: [] }, BATCH);
  if (deferred.some(({ attempts }) => attempts < MAX_DEFERRALS)) return true;
  if (deferred.length === 0) return false;
  await recordOutcomes(
    registry,
    rolloutId,
    deferred.map(({ target, reason }) => ({ target, state: 'failed', reason })),
  );
  return false;
}

/**
 * Ends a rollout after its waves.
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
  const reason = `${failed} of ${failed + left + succeeded} targets failed.${notBegun} Start another rollout to continue.`;
  await endRollout(registry, rolloutId, { status: 'failed', reason });
  throw new RolloutFailed(reason);
}
