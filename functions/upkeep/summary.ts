import * as z from 'zod';
import { addFigures, NO_FIGURES, type UpkeepFigures } from './upkeep-database.ts';

const number = z.int().nonnegative();
export const upkeepFigures = z.object({
  partitionsAdded: number,
  partitionsDropped: number,
  rowsDrained: number,
  rowsDeleted: number,
  postponed: number,
  failures: number,
}) satisfies z.ZodType<UpkeepFigures>;

/** The result of one database: its figures, or the name of the error that skipped it. */
export const databaseResult = z.union([
  z.object({ key: z.string(), step: z.object({ figures: upkeepFigures }) }),
  z.object({ key: z.string(), error: z.string() }),
]);

export interface UpkeepSummary {
  readonly databases: number;
  /** Sums; a skipped database is one failure. */
  readonly figures: UpkeepFigures;
  /** Keys of the databases in which something failed. */
  readonly failed: readonly string[];
}

export function summarize(results: readonly z.output<typeof databaseResult>[]): UpkeepSummary {
  const figuresOf = (result: (typeof results)[number]) =>
    'step' in result ? result.step.figures : { ...NO_FIGURES, failures: 1 };
  return {
    databases: results.length,
    figures: results.map(figuresOf).reduce(addFigures, NO_FIGURES),
    failed: results.filter((result) => figuresOf(result).failures > 0).map(({ key }) => key),
  };
}
