/** How long a tenant's writes may be paused, in milliseconds. */
const DEFAULT_PAUSE_MS = 50;
/** After so many tries in vain a longer pause is better than no move. */
const TRIES = 20;
const LONGEST_PAUSE_MS = 1_000;
/** What is left of it pays for the fence, the placement at the target and the flip. */
const MARKER_SHARE = 0.7;

export interface PauseBudget {
  readonly pauseMs: number;
  /** How long the marker may take. */
  readonly markerMs: number;
}

/** Tries in vain, of both kinds; where two regions are far apart, already the rehearsals find it out. */
export interface MissedBudgets {
  readonly fenceTries?: unknown;
  readonly slowRehearsals?: unknown;
}

/** The budget for the next try: `MOVE_MAX_PAUSE_MS`, doubled by each try after the twentieth, up to a second. */
export function pauseBudget({ fenceTries, slowRehearsals }: MissedBudgets): PauseBudget {
  const tries = Math.max(Number(fenceTries ?? 0), Number(slowRehearsals ?? 0));
  const allowed = Number(process.env.MOVE_MAX_PAUSE_MS ?? DEFAULT_PAUSE_MS);
  if (!(allowed > 0)) throw new TypeError('MOVE_MAX_PAUSE_MS is not a positive number');
  const pauseMs = Math.max(
    allowed,
    Math.min(allowed * 2 ** Math.max(0, tries - TRIES + 1), LONGEST_PAUSE_MS),
  );
  return { pauseMs, markerMs: pauseMs * MARKER_SHARE };
}
