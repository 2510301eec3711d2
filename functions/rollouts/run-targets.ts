/**
 * Works on several targets at once, over few connections.
 *
 * States of a target here:  waiting ──▶ under way ──▶ recorded (succeeded, failed or deferred)
 *                              ▲             │
 *                              └── a pause ──┘  after a transient error, such as a lock that was not free in time
 *
 * Invariants: after a failure or the deadline no target is started, and those under way end; a target that waits for
 * its pause holds no connection; a target that is up to date in the registry is recorded without a connection to it.
 */
import { setTimeout as delay } from 'node:timers/promises';
import type pg from 'pg';
import { HistoryDiverged, IndexesInProgress, TargetMoved, TargetMoving } from '../database/errors.ts';
import type { Release } from '../database/provisioning/release.ts';
import {
  updateSharedTables,
  updateTenancy,
  updateTenantSchema,
} from '../database/provisioning/update-target.ts';
import { asOwner, type OwnedDatabase } from '../database/session/owner-connection.ts';
import { isConnectionLost, sqlStateOf } from '../database/session/sql-state.ts';
import { isTransient } from '../database/transient-error.ts';
import type { RegistryExecutor } from '../registry/data-api.ts';
import {
  type CellPlace,
  type Outcome,
  recordOutcomes,
  relocatingAttempts,
  type SchemaPlace,
  type Target,
} from './rollout-targets.ts';

/** Concurrent connections to the databases of a group. */
const PARALLEL = 4;
/**
 * Pauses before further tries, in ms. With the lock timeout of each try they last longer than a request's transaction
 * may (30 s), so a request that runs as long as it may does not fail a target.
 */
const PAUSES_MS = [500, 1_000, 2_000, 4_000, 8_000, 15_000];
const MAX_REASON = 500;

export interface RunOptions {
  readonly registry: RegistryExecutor;
  readonly rolloutId: string;
  readonly release: Release;
  /** On `performance.now()`'s clock: no target is started after it. */
  readonly deadline: number;
  /** Called with the error of each failed target, for the log. */
  readonly onFailed: (target: string, error: unknown) => void;
  /** Opens the owner's connection to a database. */
  readonly connect?: typeof asOwner;
}

interface Item extends Target {
  readonly place: CellPlace | SchemaPlace;
  tries: number;
  /** On `performance.now()`'s clock. */
  notBefore: number;
}

/** Targets by outcome; missing ones were not started. */
export interface RunResult {
  readonly failed: boolean;
  readonly deferred: readonly string[];
}

/** @throws the registry's errors. A target's own error is its outcome. */
export async function runTargets(targets: readonly Target[], options: RunOptions): Promise<RunResult> {
  const { release, deadline, connect = asOwner } = options;
  const records = new OutcomeWriter(options);
  const deferred: string[] = [];
  let failed = false;
  const settle = (outcome: Outcome) => {
    if (outcome.state === 'failed') failed = true;
    if (outcome.state === 'deferred') deferred.push(outcome.target);
    records.add(outcome);
  };

  const waiting: Item[] = [];
  for (const target of targets) {
    const known = knownOutcome(target, release);
    if (known) settle(known);
    else waiting.push({ ...target, place: target.place as Item['place'], tries: 0, notBefore: 0 });
  }
  await Promise.all(Array.from({ length: Math.min(PARALLEL, waiting.length) }, work));
  await records.written();
  return { failed, deferred };

  async function work(): Promise<void> {
    for (let first = await next(); first; first = await next()) {
      let item: Item | undefined = first;
      try {
        await connect(first.place.database, async (owner) => {
          while (item) {
            const usable = await attempt(owner, item);
            item = usable ? takeReady(first.place.database) : undefined;
          }
        });
      } catch (error) {
        // Unless the connection failed, the target has its outcome already.
        if (item) handle(item, error, {});
      }
    }
  }

  /** The next target whose pause is over. */
  async function next(): Promise<Item | undefined> {
    while (waiting.length > 0) {
      const ready = takeReady();
      if (ready || failed || performance.now() >= deadline) return ready;
      const earliest = Math.min(deadline, ...waiting.map(({ notBefore }) => notBefore));
      await delay(Math.max(1, earliest - performance.now()));
    }
    return undefined;
  }

  function takeReady(database?: OwnedDatabase): Item | undefined {
    const now = performance.now();
    if (failed || now >= deadline) return undefined;
    const index = waiting.findIndex(
      ({ notBefore, place }) => notBefore <= now && (!database || isSame(place.database, database)),
    );
    return index < 0 ? undefined : waiting.splice(index, 1)[0];
  }

  /** @returns true when the connection can be used for another target. */
  async function attempt(owner: pg.Client, item: Item): Promise<boolean> {
    const reached: Partial<Outcome> = {};
    try {
      await update(owner, item.place, options, reached);
      settle({ ...outcomeOf(item, 'succeeded'), ...reached });
      return true;
    } catch (error) {
      handle(item, error, reached);
      return !isConnectionLost(error);
    }
  }

  function handle(item: Item, error: unknown, reached: Partial<Outcome>): void {
    if (error instanceof TargetMoving || error instanceof TargetMoved) {
      settle({ ...outcomeOf(item, 'deferred'), ...reached, reason: movingReason(item.place) });
      return;
    }
    if (error instanceof IndexesInProgress) {
      const reason = 'An earlier try is building the indexes of its tables.';
      settle({ ...outcomeOf(item, 'deferred'), ...reached, reason });
      return;
    }
    const pause = PAUSES_MS[item.tries];
    if (passes(error) && pause !== undefined) {
      item.tries += 1;
      item.notBefore = performance.now() + pause;
      waiting.push(item);
      return;
    }
    options.onFailed(item.target, error);
    settle({ ...outcomeOf(item, 'failed'), ...reached, reason: reasonOf(error) });
  }
}

/** The outcome of a target, when the registry alone decides it. */
function knownOutcome(target: Target, release: Release): Outcome | undefined {
  const { place } = target;
  if (!place) return { target: target.target, state: 'succeeded', reason: 'The tenant is no longer there.' };
  const tenancyLags = place.kind !== 'schema' && place.tenancyVersion < release.tenancyVersion;
  if (place.schemaVersion >= release.schemaVersion && !tenancyLags) {
    return {
      ...outcomeOf({ target: target.target, place }, 'succeeded'),
      schemaVersion: place.schemaVersion,
    };
  }
  if (place.kind !== 'cell' && place.isMoving) {
    return { ...outcomeOf({ target: target.target, place }, 'deferred'), reason: movingReason(place) };
  }
  return undefined;
}

const movingReason = ({ kind }: CellPlace | SchemaPlace) =>
  kind === 'cell'
    ? 'A tenant is being moved to or from the shared tables.'
    : 'A move of the tenant is running.';

function outcomeOf({ target, place }: Pick<Item, 'target' | 'place'>, state: Outcome['state']): Outcome {
  const identity =
    place.kind === 'cell' ? { cellId: place.cellId } : { tenantId: place.tenantId, epoch: place.epoch };
  return { target, state, reason: null, ...identity };
}

/** Schema `tenancy` first, because tables may use its functions. @param reached called with each committed version. */
async function update(
  owner: pg.Client,
  place: CellPlace | SchemaPlace,
  { release, registry }: RunOptions,
  reached: { schemaVersion?: number; tenancyVersion?: number },
): Promise<void> {
  if (place.kind !== 'schema' && place.tenancyVersion < release.tenancyVersion) {
    reached.tenancyVersion = await updateTenancy(owner, release);
  }
  if (place.schemaVersion >= release.schemaVersion) return;
  if (place.kind === 'cell') {
    const tables = {
      starterRole: place.starterRole,
      relocating: await relocatingAttempts(registry),
      schemaVersion: place.schemaVersion,
    };
    reached.schemaVersion = await updateSharedTables(owner, tables, release);
  } else {
    reached.schemaVersion = await updateTenantSchema(owner, place, release);
  }
}

/** transaction_timeout: the change itself takes too long, so a repetition would too. */
const TOOK_TOO_LONG = '25P04';

const passes = (error: unknown) =>
  sqlStateOf(error) !== TOOK_TOO_LONG && (isTransient(error) || isConnectionLost(error));

/**
 * May be shown to operators: PostgreSQL's message, which names tables and columns, without its detail, which quotes
 * rows. The message of a data exception (class 22) quotes a value, so it is left out.
 */
function reasonOf(error: unknown): string {
  const code = sqlStateOf(error);
  if (code === '55P03') return 'A table was locked by other transactions at each try (55P03).';
  if (code === TOOK_TOO_LONG) return 'The change took longer than 10 minutes (25P04).';
  if (code?.startsWith('22')) return `PostgreSQL refused a value (${code}).`;
  if (code !== undefined) return `${(error as Error).message.slice(0, MAX_REASON)} (${code})`;
  if (error instanceof HistoryDiverged) return error.message.slice(0, MAX_REASON);
  if (passes(error)) return 'The database could not be reached.';
  return 'An internal error; the log of the schema-rollout function has more.';
}

function isSame(one: OwnedDatabase, other: OwnedDatabase): boolean {
  return one.writerHost === other.writerHost && one.port === other.port && one.database === other.database;
}

/** Writes outcomes batch by batch: outcomes that arrive while a batch is being written form the next batch. */
class OutcomeWriter {
  readonly #options: RunOptions;
  #collected: Outcome[] = [];
  #writing: Promise<void> | undefined;

  constructor(options: RunOptions) {
    this.#options = options;
  }

  add(outcome: Outcome): void {
    this.#collected.push(outcome);
    this.#writing ??= this.#write();
    // `written` reports the error.
    this.#writing.catch(() => {});
  }

  /**
   * Resolves after everything is written. @throws the registry's error; outcomes that were not written are repeated.
   */
  async written(): Promise<void> {
    await this.#writing;
  }

  async #write(): Promise<void> {
    while (this.#collected.length > 0) {
      const batch = this.#collected.splice(0, 500);
      await recordOutcomes(this.#options.registry, this.#options.rolloutId, batch);
    }
    this.#writing = undefined;
  }
}
