/**
 * Refreshes the skills summaries of one database, call after call: that of its shared tables if it is a cell, and those of
 * the schemas that its tenants have there. A summary that fails is reported and skipped; the next run tries it again.
 */
import type pg from 'pg';
import * as z from 'zod';
import { isConnectionLost } from '../database/session/sql-state.ts';
import { SHARED_SCHEMA } from '../database/tables/migrate-tenant-tables.ts';
import { type RefreshOutcome, refreshSkillsSummary } from '../database/tables/refresh-skills-summary.ts';
import { addFigures } from './figures.ts';

export interface SummaryFigures {
  /** Summaries that were computed. */
  readonly refreshed: number;
  /** Summaries whose rows are still those of the tables. */
  readonly unchanged: number;
  /** Skipped because DDL or another refresh was under way. */
  readonly busy: number;
  /** Skipped because the tables are older than the summary: a rollout has not reached them. */
  readonly absent: number;
  readonly failures: number;
}

export const NO_SUMMARIES: SummaryFigures = { refreshed: 0, unchanged: 0, busy: 0, absent: 0, failures: 0 };

export interface RefreshSummariesOptions {
  /** Recomputes also where nothing seems to have changed. */
  readonly always: boolean;
  /** On `performance.now()`'s clock. The refresh that was begun before it may take 40 seconds more. */
  readonly deadline: number;
  /** The schema with which the previous call ended. */
  readonly after?: string | undefined;
  readonly onFailure: (failure: { schema: string; error: unknown }) => void;
}

export interface SummariesOutcome {
  readonly done: boolean;
  /** Pass it to the next call; absent when nothing is left. */
  readonly after?: string;
  /** Of this call. */
  readonly figures: SummaryFigures;
}

/**
 * @param owner the owner's connection to the database itself, which the caller ends.
 * @throws the driver's error where the connection was lost.
 */
export async function refreshSummaries(
  owner: pg.ClientBase,
  { always, deadline, after, onFailure }: RefreshSummariesOptions,
): Promise<SummariesOutcome> {
  let figures = NO_SUMMARIES;
  let last = after;
  for (const schema of await schemasAfter(owner, after)) {
    if (performance.now() > deadline) return { done: false, ...(last ? { after: last } : {}), figures };
    const outcome = await refreshSkillsSummary(owner, schema, { always }).catch((error: unknown) => {
      if (isConnectionLost(error)) throw error;
      onFailure({ schema, error });
      return 'failures' as const;
    });
    figures = addFigures(figures, { [outcome satisfies RefreshOutcome | 'failures']: 1 });
    last = schema;
  }
  return { done: true, figures };
}

/** Schemas that tenants use here, in the order of their names; the shared one also where the last tenant has left it. */
async function schemasAfter(owner: pg.ClientBase, after = ''): Promise<string[]> {
  const { rows } = await owner.query<{ name: string }>(
    `select name from (
       select p.schema_name as name from tenancy.placement p where p.state <> 'moved'
       union select n.nspname from pg_catalog.pg_namespace n where n.nspname = $2
     ) schemas where name collate "C" > $1 order by name collate "C"`,
    [after, SHARED_SCHEMA],
  );
  return rows.map(({ name }) => name);
}

const number = z.int().nonnegative();
export const summaryFigures = z.object({
  refreshed: number,
  unchanged: number,
  busy: number,
  absent: number,
  failures: number,
}) satisfies z.ZodType<SummaryFigures>;
