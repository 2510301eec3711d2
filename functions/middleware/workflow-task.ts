import type { Context } from 'aws-lambda';
import type * as z from 'zod';
import type { DataApi } from '../registry/data-api.ts';
import { RegionalRegistries } from '../registry/regional-registries.ts';
import { logger } from './logger.ts';

/** How a step of a workflow looks to Lambda. */
export type TaskHandler<Result> = (event: unknown, context: Context) => Promise<Result>;

/** How the tasks of one workflow differ from those of another. */
export interface TaskKind {
  /** The typed error that an error of a driver or SDK amounts to. */
  readonly toTypedError: (error: unknown) => Error;
  /** What the log says the step was about. The event may have any form. */
  readonly subjectOf: (event: unknown) => Record<string, unknown>;
  /** What the log says a step has done, besides that it is done. */
  readonly outcomeOf: (result: unknown) => Record<string, unknown>;
  /** The message that an alarm watches the log for, where an error must wake somebody. */
  readonly alertOf?: (error: Error) => string | undefined;
}

let registries: RegionalRegistries | undefined;

/**
 * Makes a task out of a step: checks the workflow's state, hands over the registry of the region (and those of the others), and lets only typed errors out,
 * whose names the workflow retries or catches. Causes are logged; the answer never holds them.
 */
export function workflowTask<Schema extends z.ZodType, Result>(
  { toTypedError, subjectOf, outcomeOf, alertOf }: TaskKind,
  schema: Schema,
  step: (
    registry: DataApi,
    state: z.output<Schema>,
    context: Context,
    registries: RegionalRegistries,
  ) => Promise<Result>,
): TaskHandler<Result> {
  return async (event, context) => {
    logger.addContext(context);
    try {
      registries ??= RegionalRegistries.fromEnvironment();
      const result = await step(registries.own, schema.parse(event), context, registries);
      logger.info('step done', { ...subjectOf(event), ...outcomeOf(result) });
      return result;
    } catch (error) {
      const typed = toTypedError(error);
      const details = { ...subjectOf(event), error: typed };
      const alert = alertOf?.(typed);
      // An error without a cause is one of our own refusals: it says all there is to say.
      if (alert) logger.error(alert, details);
      else if (typed.cause === undefined) logger.warn('step refused', details);
      else logger.error('step failed', details);
      throw typed;
    }
  };
}
