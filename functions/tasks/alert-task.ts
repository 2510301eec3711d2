import type { Context } from 'aws-lambda';
import type * as z from 'zod';
import { AlertError, AlertsIncomplete, SurveyFailed } from '../alerts/errors.ts';
import { logger } from '../aws/logger.ts';
import { type DataApi, registryFromEnvironment } from '../registry/data-api.ts';

interface AlertTaskContext {
  readonly registry: DataApi;
  /** Milliseconds that the function still has. */
  readonly remainingMs: () => number;
}

let registry: DataApi | undefined;

/**
 * Makes a function of a task of alerts: checks the event, passes the registry, and throws only typed errors. Causes are
 * logged; the answer never holds them.
 * @param logged what the log says of a result.
 */
export function alertTask<Schema extends z.ZodType, Result extends object>(
  kind: 'survey' | 'evaluation',
  schema: Schema,
  task: (event: z.output<Schema>, context: AlertTaskContext) => Promise<Result>,
  logged: (result: Result) => object,
): (event: unknown, context: Context) => Promise<Result> {
  return async (event, context) => {
    logger.addContext(context);
    try {
      registry ??= registryFromEnvironment();
      const remainingMs = () => context.getRemainingTimeInMillis();
      const result = await task(schema.parse(event), { registry, remainingMs });
      logger.info(`${kind} of alerts done`, { result: logged(result) });
      return result;
    } catch (error) {
      const typed = toTypedError(kind, error);
      logger.error(`${kind} of alerts failed`, { error: typed });
      throw typed;
    }
  };
}

function toTypedError(kind: 'survey' | 'evaluation', error: unknown): Error {
  if (error instanceof AlertError) return error;
  if (kind === 'survey') return new SurveyFailed({ cause: error });
  return new AlertsIncomplete('an internal error stopped it', { cause: error });
}
