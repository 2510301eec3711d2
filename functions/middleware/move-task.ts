import * as z from 'zod';
import { ClaimLost, FenceLost, MoverBusy, WritersBusy } from '../database/transfer/errors.ts';
import { CutOverPostponed, MoveError, MoveMismatch, MoveOvertaken, MoveStepFailed } from '../move/errors.ts';
import type { StepContext, StepOutcome } from '../move/hop.ts';
import { openStep } from '../move/step-context.ts';
import { NoCellCapacity } from '../placement/errors.ts';
import { DependencyUnavailable, ProvisioningError } from '../provisioning/errors.ts';
import { isTransient } from '../provisioning/transient-error.ts';
import type { DataApi } from '../registry/data-api.ts';
import type { RegionalRegistries } from '../registry/regional-registries.ts';
import { type TaskHandler, workflowTask } from './workflow-task.ts';

/** What every state carries while a hop is under way. */
const hopState = z.object({
  executionArn: z.string().min(1),
  move: z.object({ moveId: z.uuid(), tenantId: z.uuid(), hopIndex: z.int().nonnegative() }),
  /** What the phase answered last; the answer of the phase before, which has no cursor, when it begins. */
  step: z.object({ cursor: z.unknown().optional() }).optional(),
});

/** One phase of a hop. */
export type MoveStep = (
  context: StepContext,
  cursor: unknown,
  registry: DataApi,
  registries: RegionalRegistries,
) => Promise<StepOutcome>;

/** A step stops well before Lambda would stop it, ... */
const MARGIN_MS = 10_000;
/** ... and answers about once a minute at least, so that the workflow sees an abort and a dead function soon. */
const LONGEST_STEP_MS = 50_000;

/**
 * Makes a task out of a phase of a hop, which the workflow calls until it is done. A phase that is done answers no
 * cursor: the next one, or the same one of the next hop, begins without.
 */
export function moveTask(phase: string, step: MoveStep): TaskHandler<StepOutcome> {
  return moveStateTask(hopState, async (registry, { move, step: last }, deadline, registries) => {
    const { moveId, hopIndex } = move;
    const context = await openStep(registry, { moveId, hopIndex, phase, cursor: last?.cursor }, deadline);
    const { done, cursor } = await step(context, last?.cursor, registry, registries);
    return done || cursor === undefined ? { done } : { done, cursor };
  });
}

/**
 * Makes a task of `tenant-move` or `tenant-move-cleanup` out of what needs more, or less, than a phase of a hop.
 * @param step its deadline is on `performance.now()`'s clock.
 */
export function moveStateTask<Schema extends z.ZodType, Result>(
  schema: Schema,
  step: (
    registry: DataApi,
    state: z.output<Schema>,
    deadline: number,
    registries: RegionalRegistries,
  ) => Promise<Result>,
): TaskHandler<Result> {
  return workflowTask(
    {
      toTypedError: toMoveError,
      subjectOf,
      outcomeOf,
      alertOf: (error) => (error instanceof MoveMismatch ? 'MoveMismatchAlert' : undefined),
    },
    schema,
    (registry, state, lambda, registries) => {
      const left = Math.min(lambda.getRemainingTimeInMillis() - MARGIN_MS, LONGEST_STEP_MS);
      return step(registry, state, performance.now() + left, registries);
    },
  );
}

/** The typed error that an error of a driver, an SDK or another mover amounts to. */
export function toMoveError(error: unknown): Error {
  if (error instanceof MoveError || error instanceof ProvisioningError || error instanceof NoCellCapacity) {
    return error;
  }
  if (error instanceof ClaimLost) return new MoveOvertaken({ cause: error });
  if (error instanceof MoverBusy || error instanceof WritersBusy || error instanceof FenceLost) {
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
