import type { HopKind } from './hop.ts';
import type { PlannedHop } from './plan.ts';

export interface MoveEstimate {
  readonly seconds: number;
  readonly writePauseMs: number;
}

interface Pace {
  readonly bytesPerSecond: number;
  readonly rowsPerSecond: number;
  /** Preparing, catching up, comparing and settling what has next to nothing in it. */
  readonly atLeastSeconds: number;
  readonly writePauseMs: number;
}

/**
 * From the measured prototypes in DESIGN section 6, on two shared cores: a relocate took 35 s for 2.8 million rows and
 * 1.3 GB under 200 writes a second, its pause at most 13 ms; a reshape's pause was 17 ms at a million rows. How long a
 * whole reshape takes is not told there: the strategy's own INSERT … SELECT took 38 s for a million rows of the same
 * tables, which copies as much. What is least is our guess.
 */
const PACES: Readonly<Record<HopKind, Pace>> = {
  relocate: { bytesPerSecond: 1.3e9 / 35, rowsPerSecond: 2.8e6 / 35, atLeastSeconds: 5, writePauseMs: 13 },
  reshape: {
    bytesPerSecond: Number.POSITIVE_INFINITY,
    rowsPerSecond: 1e6 / 38,
    atLeastSeconds: 2,
    writePauseMs: 17,
  },
};

/** Our guess at an Aurora cluster with its instances and its proxy. */
const LAUNCH_SECONDS = 15 * 60;

/** @param hasDatabase whether a dedicated database of an earlier stay will be found. */
export function estimateMove(
  plan: readonly PlannedHop[],
  { rows, bytes }: { readonly rows: number; readonly bytes: number },
  { hasDatabase = false }: { readonly hasDatabase?: boolean } = {},
): MoveEstimate {
  let seconds = 0;
  for (const { kind, to } of plan) {
    const { bytesPerSecond, rowsPerSecond, atLeastSeconds } = PACES[kind];
    seconds += Math.max(bytes / bytesPerSecond, rows / rowsPerSecond) + atLeastSeconds;
    if (to.isolationModel === 'dedicated' && !hasDatabase) seconds += LAUNCH_SECONDS;
  }
  const pauses = plan.map(({ kind }) => PACES[kind].writePauseMs);
  return { seconds: Math.ceil(seconds), writePauseMs: Math.max(0, ...pauses) };
}
