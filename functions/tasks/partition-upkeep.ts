import * as z from 'zod';
import { logger } from '../aws/logger.ts';
import { type RegionEnvironment, variable } from '../contracts/environments.ts';
import { asOwner } from '../database/session/owner-connection.ts';
import { isTransient } from '../database/transient-error.ts';
import { DependencyUnavailable, ProvisioningError } from '../places/errors.ts';
import type { RegistryExecutor } from '../registry/data-api.ts';
import { UpkeepError, UpkeepFailed } from '../upkeep/errors.ts';
import { addFigures } from '../upkeep/figures.ts';
import { NO_SUMMARIES, refreshSummaries, summaryFigures } from '../upkeep/refresh-summaries.ts';
import {
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

const work = z.enum(['all', 'summaries']);
const key = z.string().min(1);

const upkeepState = z.object({
  key,
  /** Result of the previous call. */
  step: z
    .object({ cursor: z.object({ after: z.uuid().optional() }).optional(), figures: upkeepFigures })
    .optional(),
});
const summariesState = z.object({
  key,
  work,
  /** Result of the previous call. */
  summaries: z.object({ after: z.string().optional(), figures: summaryFigures }).optional(),
});

/**
 * `list` returns the region's databases, `database` does a part of the upkeep of one database, `summaries` refreshes some
 * of its summaries, `report` sums up.
 */
const event = z.discriminatedUnion('phase', [
  // The state is the input of the execution.
  z.object({ phase: z.literal('list'), state: z.object({ work: work.default('all') }) }),
  z.object({ phase: z.literal('database'), state: upkeepState }),
  z.object({ phase: z.literal('summaries'), state: summariesState }),
  z.object({ phase: z.literal('report'), results: z.array(databaseResult) }),
]);

/** The task of `partition-upkeep`. */
export const handler = workflowTask(
  { toTypedError, subjectOf, outcomeOf },
  event,
  async (registry, input, context) => {
    const region = variable<RegionEnvironment>('REGION_KEY');
    const deadline = performance.now() + Math.min(STEP_MS, context.getRemainingTimeInMillis() / 2);
    switch (input.phase) {
      case 'list': {
        const keys = await listDatabases(registry, region);
        return { databases: keys.map((one) => ({ key: one, work: input.state.work })) };
      }
      case 'database':
        return upkeep(registry, region, input.state, deadline);
      case 'summaries':
        return summaries(registry, region, input.state, deadline);
      case 'report':
        return report(input.results);
    }
  },
);

async function upkeep(
  registry: RegistryExecutor,
  region: string,
  { key, step }: z.output<typeof upkeepState>,
  deadline: number,
) {
  const before = step?.figures ?? NO_FIGURES;
  const database = await findDatabase(registry, region, key);
  // Its tenant has moved, or the cell was removed, since it was listed.
  if (!database) return { done: true, figures: before };
  const outcome = await asOwner(database, (owner) =>
    upkeepDatabase(registry, owner, database, {
      now: new Date(),
      deadline,
      cursor: step?.cursor,
      onFailure: ({ error, ...what }) =>
        logger.error('left out of the upkeep', { database: key, ...what, error: error as Error }),
      onPartitions: (partitions) => logger.info('partitions', { database: key, ...partitions }),
    }),
  );
  return { ...outcome, figures: addFigures(before, outcome.figures) };
}

async function summaries(
  registry: RegistryExecutor,
  region: string,
  state: z.output<typeof summariesState>,
  deadline: number,
) {
  const before = state.summaries?.figures ?? NO_SUMMARIES;
  const database = await findDatabase(registry, region, state.key);
  if (!database) return { done: true, figures: before };
  const outcome = await asOwner(database, (owner) =>
    refreshSummaries(owner, {
      // Once a day also where no change was noticed: the database's counters of changes do not survive a crash.
      always: state.work === 'all',
      deadline,
      after: state.summaries?.after,
      onFailure: ({ error, schema }) =>
        logger.error('summary not refreshed', { database: state.key, schema, error: error as Error }),
    }),
  );
  return { ...outcome, figures: addFigures(before, outcome.figures) };
}

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
    .object({ phase: z.string(), state: z.object({ key: z.string() }).optional().catch(undefined) })
    .safeParse(input);
  return { phase: data?.phase, ...(data?.state ? { database: data.state.key } : {}) };
}

function outcomeOf(result: unknown): Record<string, unknown> {
  const { data } = z
    .object({ done: z.boolean(), figures: z.union([upkeepFigures, summaryFigures]) })
    .partial()
    .safeParse(result);
  return { ...data };
}
