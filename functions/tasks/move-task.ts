import type { Context } from 'aws-lambda';
import * as z from 'zod';
import { ALERTS } from '../contracts/names.ts';
import { AttemptBusy, ClaimLost, FenceLost, WritersBusy } from '../database/transfer/errors.ts';
import { isTransient } from '../database/transient-error.ts';
import { CutOverPostponed, MoveError, MoveMismatch, MoveOvertaken, MoveStepFailed } from '../moves/errors.ts';
import type { HopContext, PhaseOutcome } from '../moves/hop.ts';
import { openPhase } from '../moves/hop-context.ts';
import { NoCellCapacity } from '../placement/errors.ts';
import { DependencyUnavailable, ProvisioningError } from '../places/errors.ts';
import type { DataApi } from '../registry/data-api.ts';
import type { RegionalRegistries } from '../registry/regional-registries.ts';
import { type Phase, phase, phasedTask, type TaskHandler, type TaskKind } from './workflow-task.ts';

/** What every state carries while a hop is under way. */
const hopState = z.object({
  executionArn: z.string().min(1),
  move: z.object({ moveId: z.uuid(), tenantId: z.uuid(), hopIndex: z.int().nonnegative() }),
  /** What the phase answered last; the answer of the phase before, which has no cursor, when it begins. */
  step: z.object({ cursor: z.unknown().optional() }).optional(),
});

/** What a phase of a hop does. */
export type HopPhase = (
  context: HopContext,
  cursor: unknown,
  registry: DataApi,
  registries: RegionalRegistries,
) => Promise<PhaseOutcome>;

/** A phase stops well before Lambda would stop it, ... */
const MARGIN_MS = 10_000;
/** ... and answers about once a minute at least, so that the workflow sees an abort and a dead function soon. */
const LONGEST_PHASE_MS = 50_000;

/**
 * A phase of a hop, which the workflow calls until it is done. A phase that is done answers no cursor: the next one, or
 * the same one of the next hop, begins without.
 * @param name of the phase, as moves and their reports show it
 */
export function hopPhase(name: string, run: HopPhase): Phase {
  return movePhase(hopState, async (registry, { move, step: last }, deadline, registries) => {
    const { moveId, hopIndex } = move;
    const context = await openPhase(
      registry,
      { moveId, hopIndex, phase: name, cursor: last?.cursor },
      deadline,
    );
    const { done, cursor } = await run(context, last?.cursor, registry, registries);
    return done || cursor === undefined ? { done } : { done, cursor };
  });
}

/**
 * A phase of `tenant-move` or `tenant-move-cleanup` that is no phase of a hop.
 * @param run its deadline is on `performance.now()`'s clock.
 */
export function movePhase<Schema extends z.ZodType>(
  schema: Schema,
  run: (
    registry: DataApi,
    state: z.output<Schema>,
    deadline: number,
    registries: RegionalRegistries,
  ) => Promise<unknown>,
): Phase {
  return phase(schema, (state, { registry, registries, lambda }) =>
    run(registry, state, deadlineOf(lambda), registries),
  );
}

/** @param ofEvent the phase that gets the events of schedules and of EventBridge */
export const moveTask = (phases: Readonly<Record<string, Phase>>, ofEvent?: string): TaskHandler<unknown> =>
  phasedTask(MOVES, phases, ofEvent);

const MOVES: TaskKind = {
  toTypedError: toMoveError,
  subjectOf,
  outcomeOf,
  alertOf: (error, name) => {
    if (error instanceof MoveMismatch) return ALERTS.moveMismatch;
    return name === 'recover' ? ALERTS.moveRecovery : undefined;
  },
};

function deadlineOf(lambda: Pick<Context, 'getRemainingTimeInMillis'>): number {
  return performance.now() + Math.min(lambda.getRemainingTimeInMillis() - MARGIN_MS, LONGEST_PHASE_MS);
}

/** The typed error that an error of a driver, an SDK or another mover amounts to. */
export function toMoveError(error: unknown): Error {
  if (error instanceof MoveError || error instanceof ProvisioningError || error instanceof NoCellCapacity) {
    return error;
  }
  if (error instanceof ClaimLost) return new MoveOvertaken({ cause: error });
  if (error instanceof AttemptBusy || error instanceof WritersBusy || error instanceof FenceLost) {
    return new CutOverPostponed({ cause: error });
  }
  if (isTransient(error)) return new DependencyUnavailable({ cause: error });
  return new MoveStepFailed({ cause: error });
}

/** Whatever the event says of what is moved: a state of either workflow, or of its beginning. */
const subject = z
  .object({
    executionArn: z.string(),
    move: z.object({ moveId: z.string(), tenantId: z.string(), hopIndex: z.number() }).partial(),
  })
  .partial();

function subjectOf(event: unknown): Record<string, unknown> {
  const { data } = subject.safeParse(event);
  return data?.move ? { ...data.move } : { execution: data?.executionArn };
}

/** Never a result itself: a cursor may be long, and an answer may name what only an operator should read. */
function outcomeOf(result: unknown): Record<string, unknown> {
  const { data } = z.object({ done: z.boolean(), outcome: z.string() }).partial().safeParse(result);
  return { ...data };
}
