import type { TenantStatus, Tier } from '../contracts/tenant.ts';

/** One day's figures of a tenant, as metering recorded them. */
export interface Sample {
  /** UTC day, `YYYY-MM-DD`. */
  readonly sampledOn: string;
  readonly activeUsers: number;
  readonly activeEmployees: number;
  readonly assessmentCount: number | null;
  readonly storageBytes: number | null;
  /** Cumulative; starts again when the tenant gets a new schema. */
  readonly rowOperations: number | null;
  readonly monthlyRevenue: number | null;
}

/** Everything that a decision depends on. */
export interface PromotionFigures {
  /** The instant of the decision, RFC 3339 UTC. */
  readonly at: string;
  readonly tier: Tier;
  readonly status: TenantStatus;
  readonly complianceRequirements: readonly string[];
  /** null when there is no limit. */
  readonly storageLimitBytes: number | null;
  /** Newest first. */
  readonly samples: readonly Sample[];
  /** True while a move of the tenant runs. */
  readonly moving: boolean;
  /** The tenant's last ended move. */
  readonly lastMove: { readonly finishedAt: string; readonly succeeded: boolean } | null;
  /** True when the last move that changed the isolation model went down. */
  readonly movedDown: boolean;
  /** Running moves of all tenants. */
  readonly runningMoves: number;
  readonly openOffer: boolean;
  /** When the tenant's latest offer was declined; null when it was not. */
  readonly declinedAt: string | null;
}

const DAY_MS = 86_400_000;

/**
 * The user count for tier rules: the larger of active users and active employees. Thresholds are defined on
 * employees, limits on users.
 */
export function usersOf({ activeUsers, activeEmployees }: Sample): number {
  return Math.max(activeUsers, activeEmployees);
}

/** Days from one instant or day to another; negative when the second is earlier. */
export function daysBetween(from: string, to: string): number {
  return (Date.parse(to) - Date.parse(from)) / DAY_MS;
}

/**
 * Rows written per day up to each sample, newest first; null when it is unknown: there is no earlier sample, the
 * statistics started again, or a move (whose copy counts as writing) ran between the two samples.
 */
export function rowOperationsPerDay({ samples, lastMove }: PromotionFigures): (number | null)[] {
  return samples.map((sample, index) => {
    const earlier = samples[index + 1];
    if (!earlier || sample.rowOperations === null || earlier.rowOperations === null) return null;
    if (lastMove && earlier.sampledOn <= lastMove.finishedAt.slice(0, 10)) return null;
    const operations = sample.rowOperations - earlier.rowOperations;
    return operations < 0 ? null : operations / daysBetween(earlier.sampledOn, sample.sampledOn);
  });
}

/** The figures that are recorded with a decision, so that it can be explained later. */
export function recordedFigures(figures: PromotionFigures): Record<string, unknown> {
  const { samples, complianceRequirements, storageLimitBytes } = figures;
  const [latest] = samples;
  return {
    at: figures.at,
    tier: figures.tier,
    status: figures.status,
    ...(latest ? { ...latest, users: usersOf(latest) } : {}),
    complianceRequirements,
    storageLimitBytes,
    recentUsers: samples.map(usersOf),
    recentStorageBytes: samples.map(({ storageBytes }) => storageBytes),
    recentRowOperationsPerDay: rowOperationsPerDay(figures),
    moving: figures.moving,
    runningMoves: figures.runningMoves,
    lastMoveAt: figures.lastMove?.finishedAt ?? null,
    movedDown: figures.movedDown,
  };
}
