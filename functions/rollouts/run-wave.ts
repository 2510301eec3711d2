import { RolloutOvertaken } from './errors.ts';
import { findRollout, setPhase } from './rollout-records.ts';
import { canariesOf, countTargets, type Group, openTargets, recordOutcomes } from './rollout-targets.ts';
import { type RunOptions, runTargets } from './run-targets.ts';

/** Targets that are read from the registry at once: its answer takes 1 MiB. */
const BATCH = 500;
/** Candidates for the canary of one model, should moves keep the first ones. */
const CANDIDATES = 10;
/** How often a target that a move keeps is tried, with the workflow's pause of 30 s in between. */
const MAX_DEFERRALS = 60;

/** What the workflow does next: call again at once or after a pause, or go on. */
export type Next = 'again' | 'wait' | 'done';

/**
 * Works on one target of each isolation model, a cell first, before the rest. A model all of whose candidates are kept
 * by moves has no canary.
 * @throws {RolloutOvertaken} and the registry's errors.
 * @returns `again` where time ran out, `failed` where one failed: nothing else is to be started then.
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

/** Fails what was deferred too often. @returns whether something is still worth waiting for. */
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
