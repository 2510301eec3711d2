/**
 * The upkeep of one database, call after call: first the partitions of its shared tables if it is a cell, then its
 * tenants' old rows, page by page. A failing table or tenant is reported and skipped; the next run tries it again.
 */
import type pg from 'pg';
import * as z from 'zod';
import { endLockHolders } from '../database/ddl/ddl-connection.ts';
import { isConnectionLost } from '../database/session/sql-state.ts';
import type { RegistryExecutor } from '../registry/data-api.ts';
import { deleteOldRows } from './delete-old-rows.ts';
import { UpkeepRunning } from './errors.ts';
import { addFigures } from './figures.ts';
import { keepPartitions } from './keep-partitions.ts';
import { NO_SUMMARIES, type SummaryFigures, summaryFigures } from './refresh-summaries.ts';
import type { LockPatience } from './table-locks.ts';
import { listTenants, type UpkeptDatabase } from './upkept-databases.ts';

const PAGE = 200;
/** An advisory lock of the session, because a run has many transactions and two runs would disturb each other. */
const LOCK = 'strata partition upkeep';

export interface UpkeepFigures {
  readonly partitionsAdded: number;
  readonly partitionsDropped: number;
  /** Rows that were moved from a default partition to their month's. */
  readonly rowsDrained: number;
  /** Rows beyond the retention, besides those of dropped partitions. */
  readonly rowsDeleted: number;
  /** Partitions and tenants that were skipped because of a move. */
  readonly postponed: number;
  readonly failures: number;
}

export const NO_FIGURES: UpkeepFigures = {
  partitionsAdded: 0,
  partitionsDropped: 0,
  rowsDrained: 0,
  rowsDeleted: 0,
  postponed: 0,
  failures: 0,
};

/** What was skipped, for the log. */
export interface UpkeepFailure {
  /** A table or partition. */
  readonly table?: string;
  readonly tenantId?: string;
  readonly error: unknown;
}

export interface UpkeepOptions {
  readonly now: Date;
  /** On `performance.now()`'s clock. The addition of one month that was begun before it may take some minutes more. */
  readonly deadline: number;
  /** Where the previous call stopped. */
  readonly cursor?: UpkeepCursor | undefined;
  readonly onFailure: (failure: UpkeepFailure) => void;
  readonly onPartitions?: (partitions: { added: readonly string[]; dropped: readonly string[] }) => void;
  readonly patience?: LockPatience;
}

/** The partitions are done, and all tenants up to this one; when absent, no tenant is. */
export interface UpkeepCursor {
  readonly after?: string | undefined;
}

export interface UpkeepOutcome {
  readonly done: boolean;
  /** Pass it to the next call; absent when nothing is left. */
  readonly cursor?: UpkeepCursor;
  /** Of this call. */
  readonly figures: UpkeepFigures;
}

/**
 * @param owner the owner's connection to the database itself, which the caller ends.
 * @throws {UpkeepRunning | RegistryError} and the driver's error where the connection was lost.
 */
export async function upkeepDatabase(
  registry: RegistryExecutor,
  owner: pg.ClientBase,
  database: Pick<UpkeptDatabase, 'key' | 'shared'>,
  { now, deadline, cursor, onFailure, onPartitions, patience }: UpkeepOptions,
): Promise<UpkeepOutcome> {
  await lockOut(owner);
  let figures = NO_FIGURES;
  const count = (more: Partial<UpkeepFigures>) => {
    figures = addFigures(figures, more);
  };
  const fail = (failure: UpkeepFailure) => {
    if (isConnectionLost(failure.error)) throw failure.error;
    count({ failures: 1 });
    onFailure(failure);
  };

  if (!cursor && database.shared) {
    const { added, dropped, rowsDrained, postponed } = await keepPartitions(owner, {
      now,
      deadline,
      onFailure: fail,
      ...(patience ? { patience } : {}),
    });
    onPartitions?.({ added, dropped });
    count({
      partitionsAdded: added.length,
      partitionsDropped: dropped.length,
      rowsDrained,
      postponed: postponed.length,
    });
  }

  let after = cursor?.after;
  for (;;) {
    const page = await listTenants(registry, database, { after, limit: PAGE });
    if (page.length === 0) return { done: true, figures };
    for (const tenant of page) {
      const { tenantId } = tenant;
      if (performance.now() > deadline) return { done: false, cursor: { after }, figures };
      try {
        const { rows, outcome } = await deleteOldRows(owner, tenant, { now, deadline });
        count({ rowsDeleted: rows });
        if (outcome === 'unfinished') return { done: false, cursor: { after }, figures };
        if (outcome === 'moving') count({ postponed: 1 });
      } catch (error) {
        fail({ tenantId, error });
      }
      after = tenantId;
    }
  }
}

/** Keeps other runs out until the session ends. @throws {UpkeepRunning} */
async function lockOut(owner: pg.ClientBase): Promise<void> {
  await endLockHolders(owner, LOCK);
  const { rows } = await owner.query<{ locked: boolean }>(
    'select pg_catalog.pg_try_advisory_lock(pg_catalog.hashtextextended($1, 0)) as locked',
    [LOCK],
  );
  if (!rows[0]?.locked) throw new UpkeepRunning();
}

const number = z.int().nonnegative();
export const upkeepFigures = z.object({
  partitionsAdded: number,
  partitionsDropped: number,
  rowsDrained: number,
  rowsDeleted: number,
  postponed: number,
  failures: number,
}) satisfies z.ZodType<UpkeepFigures>;

/**
 * The result of one database: the figures of its phases, or the names of the errors that skipped them. An execution that
 * only refreshes summaries has no `step`.
 */
export const databaseResult = z.object({
  key: z.string(),
  step: z.object({ figures: upkeepFigures }).optional(),
  failure: z.string().optional(),
  summaries: z.object({ figures: summaryFigures }).optional(),
  summariesFailure: z.string().optional(),
});

export interface UpkeepSummary {
  readonly databases: number;
  /** Sums; a skipped database is one failure. */
  readonly figures: UpkeepFigures;
  readonly summaries: SummaryFigures;
  /** Keys of the databases in which something failed. */
  readonly failed: readonly string[];
}

type DatabaseResult = z.output<typeof databaseResult>;

export function summarize(results: readonly DatabaseResult[]): UpkeepSummary {
  const figuresOf = ({ step, failure }: DatabaseResult): UpkeepFigures =>
    failure === undefined ? (step?.figures ?? NO_FIGURES) : { ...NO_FIGURES, failures: 1 };
  const summariesOf = ({ summaries, summariesFailure }: DatabaseResult): SummaryFigures =>
    summariesFailure === undefined ? (summaries?.figures ?? NO_SUMMARIES) : { ...NO_SUMMARIES, failures: 1 };
  const failures = (result: DatabaseResult) => figuresOf(result).failures + summariesOf(result).failures;
  return {
    databases: results.length,
    figures: results.map(figuresOf).reduce(addFigures, NO_FIGURES),
    summaries: results.map(summariesOf).reduce(addFigures, NO_SUMMARIES),
    failed: results.filter((result) => failures(result) > 0).map(({ key }) => key),
  };
}
