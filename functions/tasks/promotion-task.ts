import type { Context } from 'aws-lambda';
import type * as z from 'zod';
import { logger } from '../aws/logger.ts';
import { MeteringError, MeteringFailed } from '../metering/errors.ts';
import { PromotionError, PromotionIncomplete } from '../promotion/errors.ts';
import { type DataApi, registryFromEnvironment } from '../registry/data-api.ts';

/** What a task of the daily run gets besides its event. */
export interface PromotionTaskContext {
  readonly registry: DataApi;
  /** Milliseconds that the function still has. */
  readonly remainingMs: () => number;
}

let registry: DataApi | undefined;

/**
 * Makes a function of a task of the daily run: checks the event, passes the registry, and throws only typed errors.
 * Causes are logged; the answer never holds them.
 */
export function promotionTask<Schema extends z.ZodType, Result extends object>(
  kind: 'metering' | 'promotion',
  schema: Schema,
  task: (event: z.output<Schema>, context: PromotionTaskContext) => Promise<Result>,
): (event: unknown, context: Context) => Promise<Result> {
  return async (event, context) => {
    logger.addContext(context);
    try {
      registry ??= registryFromEnvironment();
      const remainingMs = () => context.getRemainingTimeInMillis();
      const result = await task(schema.parse(event), { registry, remainingMs });
      logger.info(`${kind} done`, { result });
      return result;
    } catch (error) {
      const typed = toTypedError(kind, error);
      logger.error(`${kind} failed`, { error: typed });
      throw typed;
    }
  };
}

function toTypedError(kind: 'metering' | 'promotion', error: unknown): Error {
  if (error instanceof MeteringError || error instanceof PromotionError) return error;
  if (kind === 'metering') return new MeteringFailed({ cause: error });
  return new PromotionIncomplete('an internal error stopped it', { cause: error });
}
