import * as z from 'zod';
import { logger } from '../aws/logger.ts';
import { type RegionEnvironment, variable } from '../contracts/environments.ts';
import { asOwner } from '../database/session/owner-connection.ts';
import { isTransient } from '../database/transient-error.ts';
import { DependencyUnavailable, ProvisioningError } from '../places/errors.ts';
import { UpkeepError, UpkeepFailed } from '../upkeep/errors.ts';
import {
  addFigures,
  databaseResult,
  NO_FIGURES,
  summarize,
  upkeepDatabase,
  upkeepFigures,
} from '../upkeep/upkeep-database.ts';
import { findDatabase, listDatabases } from '../upkeep/upkept-databases.ts';
import { workflowTask } from './workflow-task.ts';

/** How long one call begins new work. The month that was begun last may take four more minutes. */
const STEP_MS = 5 * 60_000;

/** `list` returns the region's databases, `database` does a part of the upkeep of one database, `report` sums up. */
const event = z.union([
  z.object({ phase: z.literal('list') }),
  z.object({
    phase: z.literal('database'),
    state: z.object({
      key: z.string().min(1),
      /** Result of the previous call. */
      step: z
        .object({ cursor: z.object({ after: z.uuid().optional() }).optional(), figures: upkeepFigures })
        .optional(),
    }),
  }),
  z.object({ phase: z.literal('report'), results: z.array(databaseResult) }),
]);

/** The task of `partition-upkeep`. */
export const handler = workflowTask(
  { toTypedError, subjectOf, outcomeOf },
  event,
  async (registry, input, context) => {
    const region = variable<RegionEnvironment>('REGION_KEY');
    if (input.phase === 'list') {
      return { databases: (await listDatabases(registry, region)).map((key) => ({ key })) };
    }
    if (input.phase === 'report') return report(input.results);
    const { key, step } = input.state;
    const before = step?.figures ?? NO_FIGURES;
    const database = await findDatabase(registry, region, key);
    // Its tenant has moved, or the cell was removed, since it was listed.
    if (!database) return { done: true, figures: before };
    const outcome = await asOwner(database, (owner) =>
      upkeepDatabase(registry, owner, database, {
        now: new Date(),
        deadline: performance.now() + Math.min(STEP_MS, context.getRemainingTimeInMillis() / 2),
        cursor: step?.cursor,
        onFailure: ({ error, ...what }) =>
          logger.error('left out of the upkeep', { database: key, ...what, error: error as Error }),
        onPartitions: (partitions) => logger.info('partitions', { database: key, ...partitions }),
      }),
    );
    return { ...outcome, figures: addFigures(before, outcome.figures) };
  },
);

function report(results: z.output<typeof databaseResult>[]) {
  const summary = summarize(results);
  logger.info('partition upkeep', { ...summary });
  const cause = `Left undone in ${summary.failed.join(', ')}: see the log of the task.`;
  return { complete: summary.failed.length === 0, ...summary, cause };
}

function toTypedError(error: unknown): Error {
  if (error instanceof UpkeepError || error instanceof ProvisioningError) return error;
  if (isTransient(error)) return new DependencyUnavailable({ cause: error });
  return new UpkeepFailed({ cause: error });
}

function subjectOf(input: unknown): Record<string, unknown> {
  const { data } = z
    .object({ phase: z.string(), state: z.object({ key: z.string() }).optional() })
    .safeParse(input);
  return { phase: data?.phase, ...(data?.state ? { database: data.state.key } : {}) };
}

function outcomeOf(result: unknown): Record<string, unknown> {
  const { data } = z.object({ done: z.boolean(), figures: upkeepFigures }).partial().safeParse(result);
  return { ...data };
}
