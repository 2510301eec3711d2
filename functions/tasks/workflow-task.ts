import type { Context } from 'aws-lambda';
import * as z from 'zod';
import { logger } from '../aws/logger.ts';
import type { DataApi } from '../registry/data-api.ts';
import { RegionalRegistries } from '../registry/regional-registries.ts';

/** The signature of a task function for Lambda. */
export type TaskHandler<Result> = (event: unknown, context: Context) => Promise<Result>;

/** How the tasks of one workflow differ from those of another. */
export interface TaskKind {
  /** The typed error for an error of a driver or SDK. */
  readonly toTypedError: (error: unknown) => Error;
  /** What the event is about, for the log. The event may have any form. */
  readonly subjectOf: (event: unknown) => Record<string, unknown>;
  /** Further fields of the log line that reports success. */
  readonly outcomeOf: (result: unknown) => Record<string, unknown>;
  /** The message that an alarm watches the log for; set it when an error must alert an operator. */
  readonly alertOf?: (error: Error, phase?: string) => string | undefined;
}

/** What a phase gets besides the state of its workflow. */
export interface PhaseContext {
  readonly registry: DataApi;
  /** The registries of all regions. */
  readonly registries: RegionalRegistries;
  readonly lambda: Context;
}

/** One phase of a workflow. It checks the state itself, because the state may have any form. */
export type Phase = (state: unknown, context: PhaseContext) => Promise<unknown>;

let registries: RegionalRegistries | undefined;

/** A phase of a workflow whose state has this form. */
export function phase<Schema extends z.ZodType>(
  schema: Schema,
  run: (state: z.output<Schema>, context: PhaseContext) => Promise<unknown>,
): Phase {
  return (state, context) => run(schema.parse(state), context);
}

const request = z.object({ phase: z.string(), state: z.unknown() });

/**
 * One function for all phases of a workflow that need the same rights. The workflow calls it with `{ phase, state }`; a
 * schedule and EventBridge call it with their own event.
 * @param ofEvent the phase that gets events without `phase`; when absent, they are refused
 */
export function phasedTask(
  kind: TaskKind,
  phases: Readonly<Record<string, Phase>>,
  ofEvent?: string,
): TaskHandler<unknown> {
  return (event, lambda) => {
    const { data } = request.safeParse(event);
    const name = data?.phase ?? ofEvent;
    const state = data ? data.state : event;
    return answer(
      { kind, subject: { phase: name, ...kind.subjectOf(state) }, phase: name },
      lambda,
      (context) => {
        const run = name !== undefined && Object.hasOwn(phases, name) ? phases[name] : undefined;
        if (!run) throw new Error(`this function has no phase ${name}`);
        return run(state, context);
      },
    );
  };
}

/**
 * Makes a task of one function: checks the event, passes the registry of the region (and those of the others), and
 * throws only typed errors, whose names the workflow retries or catches. Causes are logged; the answer never holds
 * them.
 */
export function workflowTask<Schema extends z.ZodType, Result>(
  kind: TaskKind,
  schema: Schema,
  run: (
    registry: DataApi,
    state: z.output<Schema>,
    lambda: Context,
    registries: RegionalRegistries,
  ) => Promise<Result>,
): TaskHandler<Result> {
  return (event, lambda) =>
    answer({ kind, subject: kind.subjectOf(event) }, lambda, async ({ registry, registries: regions }) =>
      run(registry, schema.parse(event), lambda, regions),
    );
}

async function answer<Result>(
  {
    kind,
    subject,
    phase: name,
  }: { kind: TaskKind; subject: Record<string, unknown>; phase?: string | undefined },
  lambda: Context,
  run: (context: PhaseContext) => Promise<Result>,
): Promise<Result> {
  logger.addContext(lambda);
  try {
    registries ??= RegionalRegistries.fromEnvironment();
    const result = await run({ registry: registries.own, registries, lambda });
    logger.info('phase done', { ...subject, ...kind.outcomeOf(result) });
    return result;
  } catch (error) {
    const typed = kind.toTypedError(error);
    const details = { ...subject, error: typed };
    const alert = kind.alertOf?.(typed, name);
    // An error without a cause is one of our own refusals: its message is complete.
    if (alert) logger.error(alert, details);
    else if (typed.cause === undefined) logger.warn('phase refused', details);
    else logger.error('phase failed', details);
    throw typed;
  }
}
