/**
 * Decides which tier a tenant belongs in, and what to do about it now. A pure function: figures and policy in, decision
 * and reasons out.
 *
 *   starter   the latest sample reaches a threshold            → promote to business
 *   business  a requirement that a schema does not satisfy,
 *             or load on several of the last samples           → offer enterprise; the customer must accept
 *   a running move, the cool-down, the hours or the limit of
 *   running moves prevents it now                              → defer
 *   otherwise                                                  → keep
 *
 * To avoid repeated moves: no tenant is demoted, none is promoted twice within the cool-down, and a tenant that an
 * operator moved down must exceed the thresholds by a margin.
 */
import type { Tier } from '../contracts/tenant.ts';
import { daysBetween, type PromotionFigures, rowOperationsPerDay, type Sample, usersOf } from './figures.ts';
import type { PromotionPolicy } from './promotion-policy.ts';

/** One reason of a decision: the rule, and the figures in words. */
export interface Reason {
  readonly rule: string;
  readonly detail: string;
}

export interface Decision {
  readonly decision: 'keep' | 'promote' | 'defer' | 'offer';
  /** null for keep. */
  readonly targetTier: Extract<Tier, 'business' | 'enterprise'> | null;
  /** At least one. A deferred promotion has the reasons for it and the reasons that prevent it now. */
  readonly reasons: readonly Reason[];
}

export function decide(figures: PromotionFigures, policy: PromotionPolicy): Decision {
  if (figures.status !== 'active') {
    return keep({ rule: 'not-active', detail: `The tenant is ${figures.status}.` });
  }
  if (figures.tier === 'starter') return decideStarter(figures, policy);
  if (figures.tier === 'business') return decideBusiness(figures, policy);
  return keep({ rule: 'highest-tier', detail: 'There is no higher tier.' });
}

function decideStarter(figures: PromotionFigures, policy: PromotionPolicy): Decision {
  const latest = freshSample(figures, policy);
  if (!latest) return keep(noSample);
  const reached = businessGrounds(latest, policy, 1);
  if (reached.length === 0) {
    const { users, monthlyRevenue } = policy.business;
    const detail = `${usersOf(latest)} users of ${users}, revenue ${latest.monthlyRevenue ?? 0} of ${monthlyRevenue}.`;
    return keep({ rule: 'below-threshold', detail });
  }
  const grounds = figures.movedDown ? businessGrounds(latest, policy, 1 + policy.demotionMargin) : reached;
  if (grounds.length === 0) return keep(...reached, withinMargin(policy));
  const obstacles = [
    ...moving(figures),
    ...coolingDown(figures, policy),
    ...outsideWindow(figures.at, policy),
    ...tooManyMoves(figures, policy),
  ];
  const targetTier = 'business';
  if (obstacles.length > 0) return { decision: 'defer', targetTier, reasons: [...grounds, ...obstacles] };
  return { decision: 'promote', targetTier, reasons: grounds };
}

function decideBusiness(figures: PromotionFigures, policy: PromotionPolicy): Decision {
  const compliance = complianceGrounds(figures, policy);
  const load = freshSample(figures, policy) ? loadGrounds(figures, policy, 1) : [];
  const reached = [...compliance, ...load];
  if (reached.length === 0) {
    if (figures.samples.length === 0) return keep(noSample);
    return keep({ rule: 'schema-suffices', detail: 'Neither requirements nor lasting load ask for more.' });
  }
  const grounds = figures.movedDown
    ? [...compliance, ...(load.length > 0 ? loadGrounds(figures, policy, 1 + policy.demotionMargin) : [])]
    : reached;
  if (grounds.length === 0) return keep(...reached, withinMargin(policy));
  if (figures.openOffer) return keep(...grounds, { rule: 'offer-open', detail: 'An offer is open.' });
  const { declinedAt, at } = figures;
  if (declinedAt !== null && daysBetween(declinedAt, at) < policy.declinePauseDays) {
    const detail = `An offer was declined on ${declinedAt.slice(0, 10)}; the next waits ${policy.declinePauseDays} days.`;
    return keep(...grounds, { rule: 'offer-declined', detail });
  }
  const targetTier = 'enterprise';
  // A requirement does not wait for samples, unless the customer has just declined.
  const waits = compliance.length === 0 || figures.movedDown;
  const obstacles = [...moving(figures), ...(waits ? coolingDown(figures, policy) : [])];
  if (obstacles.length > 0) return { decision: 'defer', targetTier, reasons: [...grounds, ...obstacles] };
  return { decision: 'offer', targetTier, reasons: grounds };
}

/** @param factor multiplies the thresholds. */
function businessGrounds(latest: Sample, { business }: PromotionPolicy, factor: number): Reason[] {
  const reasons: Reason[] = [];
  const users = usersOf(latest);
  if (reaches(users, business.users, factor)) {
    reasons.push({ rule: 'users', detail: `${users} users; Business begins at ${business.users}.` });
  }
  const revenue = latest.monthlyRevenue ?? 0;
  if (reaches(revenue, business.monthlyRevenue, factor)) {
    const detail = `Monthly revenue ${revenue}; Business begins at ${business.monthlyRevenue}.`;
    reasons.push({ rule: 'monthly-revenue', detail });
  }
  return reasons;
}

/** 50 × 1.1 is 55.000000000000007 in floating point. */
function reaches(value: number, threshold: number, factor: number): boolean {
  return value >= threshold * factor - 1e-9;
}

function complianceGrounds(figures: PromotionFigures, { enterprise }: PromotionPolicy): Reason[] {
  return figures.complianceRequirements
    .filter((requirement) => enterprise.compliance.includes(requirement.toLowerCase()))
    .map((requirement) => ({
      rule: 'compliance',
      detail: `${requirement} is not satisfied by a schema in a shared database.`,
    }));
}

function loadGrounds(figures: PromotionFigures, { enterprise }: PromotionPolicy, factor: number): Reason[] {
  const { samples: needed, last } = enterprise.sustained;
  const recent = figures.samples.slice(0, last);
  const limit = figures.storageLimitBytes;
  const maxBytes = limit === null ? null : limit * enterprise.storageShare * factor;
  const operations = rowOperationsPerDay(figures).slice(0, last);
  const days = {
    users: recent.filter((sample) => usersOf(sample) > enterprise.users * factor).length,
    storage: recent.filter(({ storageBytes }) => maxBytes !== null && (storageBytes ?? 0) > maxBytes).length,
    load: operations.filter((perDay) => (perDay ?? 0) > enterprise.rowOperationsPerDay * factor).length,
  };
  const told = {
    users: `more than ${enterprise.users} users`,
    storage: `more than ${Math.round(enterprise.storageShare * 100)} % of the storage limit used`,
    load: `more than ${enterprise.rowOperationsPerDay} rows written a day`,
  };
  return (['users', 'storage', 'load'] as const)
    .filter((rule) => days[rule] >= needed)
    .map((rule) => ({
      rule,
      detail: `On ${days[rule]} of the last ${recent.length} samples: ${told[rule]}.`,
    }));
}

function moving(figures: PromotionFigures): Reason[] {
  return figures.moving ? [{ rule: 'moving', detail: 'The tenant is being moved.' }] : [];
}

function coolingDown({ lastMove, at }: PromotionFigures, policy: PromotionPolicy): Reason[] {
  if (!lastMove) return [];
  const pause = lastMove.succeeded ? policy.cooldownDays : policy.retryDays;
  if (daysBetween(lastMove.finishedAt, at) >= pause) return [];
  const ended = lastMove.succeeded ? 'succeeded' : 'did not succeed';
  const detail = `A move ${ended} on ${lastMove.finishedAt.slice(0, 10)}; the next waits ${pause} days.`;
  return [{ rule: 'cool-down', detail }];
}

function outsideWindow(at: string, { maintenanceWindow }: PromotionPolicy): Reason[] {
  const { startHour, endHour } = maintenanceWindow;
  const hour = new Date(at).getUTCHours();
  const inside =
    startHour < endHour ? hour >= startHour && hour < endHour : hour >= startHour || hour < endHour;
  if (inside || startHour === endHour) return [];
  const detail = `Promotions start between ${startHour}:00 and ${endHour}:00 UTC.`;
  return [{ rule: 'maintenance-window', detail }];
}

function tooManyMoves({ runningMoves }: PromotionFigures, { maxRunningMoves }: PromotionPolicy): Reason[] {
  if (runningMoves < maxRunningMoves) return [];
  const detail = `${runningMoves} moves are running; at most ${maxRunningMoves} may.`;
  return [{ rule: 'too-many-moves', detail }];
}

function freshSample({ samples, at }: PromotionFigures, policy: PromotionPolicy): Sample | undefined {
  const [latest] = samples;
  return latest && daysBetween(latest.sampledOn, at.slice(0, 10)) <= policy.sampleMaxAgeDays
    ? latest
    : undefined;
}

const noSample: Reason = { rule: 'no-recent-sample', detail: 'There are no recent figures.' };

function withinMargin({ demotionMargin }: PromotionPolicy): Reason {
  const percent = Math.round(demotionMargin * 100);
  const detail = `The tenant was moved down: it must exceed a threshold by ${percent} %.`;
  return { rule: 'within-margin', detail };
}

const keep = (...reasons: readonly Reason[]): Decision => ({ decision: 'keep', targetTier: null, reasons });
