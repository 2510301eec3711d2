import type { Tier } from '../contracts/tenant.ts';
import type { TenantStatus } from '../registry/tenant-record.ts';

/** One day's figures of a tenant, as metering recorded them. */
export interface Sample {
  /** UTC day, `YYYY-MM-DD`. */
  readonly sampledOn: string;
  readonly activeUsers: number;
  readonly activeEmployees: number;
  readonly assessmentCount: number | null;
  readonly storageBytes: number | null;
  /** Cumulative; begins anew whenever the tenant gets a new schema. */
  readonly rowOperations: number | null;
  readonly monthlyRevenue: number | null;
}

/** All that a decision depends on. */
export interface PromotionFigures {
  /** The instant of the decision, RFC 3339 UTC. */
  readonly at: string;
  readonly tier: Tier;
  readonly status: TenantStatus;
  readonly complianceRequirements: readonly string[];
  /** null: no limit. */
  readonly storageLimitBytes: number | null;
  /** Newest first. */
  readonly samples: readonly Sample[];
  /** A move of the tenant is running. */
  readonly moving: boolean;
  /** The move of the tenant that ended last. */
  readonly lastMove: { readonly finishedAt: string; readonly succeeded: boolean } | null;
  /** The last move that changed the isolation model took the tenant down. */
  readonly movedDown: boolean;
  /** Moves of all tenants. */
  readonly runningMoves: number;
  readonly openOffer: boolean;
  /** When the tenant's latest offer was declined; null if it was not. */
  readonly declinedAt: string | null;
}

const DAY_MS = 86_400_000;

/** What counts as users for tiers: the strategy's metric counts employees, its limits count users. */
export function usersOf({ activeUsers, activeEmployees }: Sample): number {
  return Math.max(activeUsers, activeEmployees);
}

/** Days from one instant or day to another, negative if it lies before. */
export function daysBetween(from: string, to: string): number {
  return (Date.parse(to) - Date.parse(from)) / DAY_MS;
}

/**
 * Rows written per day up to each sample, newest first; null where nothing can be said of it: there is no earlier sample,
 * the statistics began anew, or a move (whose copy counts as writing) lies between the two.
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

/** What is kept with a decision, so that anybody can see what it was founded on. */
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
