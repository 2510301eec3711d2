/**
 * What an operator could change for a tenant: its tier, the capacity of its cell or database, a reservation, its storage.
 * Advice is computed from figures and applied by nobody: each has its reason and the figures that it follows from.
 */
import { unsatisfied } from '../contracts/compliance.ts';
import { PRICE_BANDS } from '../contracts/price-bands.ts';
import { type DedicatedSize, HOURS_OF_A_MONTH, type RegionPrices } from '../contracts/price-table.ts';
import { defaultPromotionPolicy } from '../contracts/promotion-policy.ts';
import type { Tier } from '../contracts/tenant.ts';
import { tierTerms } from '../contracts/tier-terms.ts';

export interface Advice {
  readonly kind: 'tier' | 'capacity' | 'reservation' | 'storage';
  /** `keep`: nothing to change. `unknown`: there are too few figures. */
  readonly action: 'keep' | 'change' | 'unknown';
  /** What is advised, in words; null unless something should change. */
  readonly recommended: string | null;
  readonly reason: string;
  readonly figures: Readonly<Record<string, number | string | null>>;
}

export interface AdviceFigures {
  readonly tier: Tier;
  readonly complianceRequirements: readonly string[];
  /** The larger of users and employees. */
  readonly users: number | null;
  readonly monthlyRevenue: number | null;
  /** In US dollars. */
  readonly monthlyCost: number;
  /** null when there is no limit. */
  readonly storageLimitBytes: number | null;
  /** Oldest first, one for each day that has a figure. */
  readonly storage: readonly { readonly day: string; readonly bytes: number }[];
  /** undefined while the tenant has no place, and once it is erased. */
  readonly place: AdvisedPlace | undefined;
  readonly prices: RegionPrices;
}

/** The tenant's cell, or its own database. */
interface AdvisedPlace {
  readonly name: string;
  readonly size: DedicatedSize;
  /**
   * Transactions that ran at the same time, on average, in each of the last hours: database time divided by the hour.
   */
  readonly busySessions: readonly number[];
}

export function advise(figures: AdviceFigures): Advice[] {
  const { place, prices } = figures;
  return [
    adviseTier(figures),
    place ? adviseCapacity(place) : withoutPlace('capacity'),
    place ? adviseReservation(place, prices) : withoutPlace('reservation'),
    adviseStorage(figures),
  ];
}

const withoutPlace = (kind: Advice['kind']): Advice => ({
  kind,
  action: 'unknown',
  recommended: null,
  reason: 'The tenant has no place.',
  figures: {},
});

const BUSINESS_DOWN_USERS =
  defaultPromotionPolicy.business.users * (1 - defaultPromotionPolicy.demotionMargin);

function adviseTier(given: AdviceFigures): Advice {
  const { tier, users, monthlyRevenue, monthlyCost, complianceRequirements } = given;
  const { business, enterprise } = defaultPromotionPolicy;
  const storageShare = storageShareOf(given);
  const figures = {
    tier,
    users,
    monthlyRevenue,
    monthlyCost: cents(monthlyCost),
    priceFrom: PRICE_BANDS[tier].from,
    priceTo: PRICE_BANDS[tier].to,
    storageShare,
  };
  const change = (recommended: Tier, reason: string): Advice => ({
    kind: 'tier',
    action: 'change',
    recommended,
    reason,
    figures,
  });
  const keep = (reason: string, action: 'keep' | 'unknown' = 'keep'): Advice => ({
    kind: 'tier',
    action,
    recommended: null,
    reason,
    figures,
  });
  const compliant = (lower: Tier) =>
    unsatisfied(complianceRequirements, tierTerms[lower].isolationModel).length === 0;
  if (!compliant(tier)) {
    const enough = (['business', 'enterprise'] as const).find(compliant) ?? 'enterprise';
    return change(enough, `Its requirements (${complianceRequirements.join(', ')}) do not allow its place.`);
  }
  if (users === null) return keep('It has not been measured yet.', 'unknown');
  if (tier === 'starter') {
    if (users >= business.users) {
      return change('business', `It has ${users} users; Business begins at ${business.users}.`);
    }
    if (monthlyRevenue !== null && monthlyRevenue >= business.monthlyRevenue) {
      return change(
        'business',
        `Its revenue is ${monthlyRevenue} USD a month; Business begins at ${business.monthlyRevenue}.`,
      );
    }
  }
  if (tier === 'business') {
    if (users >= enterprise.users) {
      return change(
        'enterprise',
        `It has ${users} users; a database of its own is advised from ${enterprise.users} on.`,
      );
    }
    if (storageShare !== null && storageShare >= enterprise.storageShare) {
      return change('enterprise', `It uses ${percent(storageShare)} of its storage.`);
    }
  }
  const lower = tier === 'enterprise' ? 'business' : tier === 'business' ? 'starter' : undefined;
  if (lower !== undefined && compliant(lower)) {
    const fewUsers =
      lower === 'business' ? users < enterprise.users * (1 - 0.1) : users < BUSINESS_DOWN_USERS;
    const paysLess = monthlyRevenue !== null && monthlyRevenue < PRICE_BANDS[tier].from;
    if (fewUsers && paysLess) {
      return change(
        lower,
        `It has ${users} users and pays ${monthlyRevenue} USD a month, less than a tenant of its tier.`,
      );
    }
  }
  if (monthlyRevenue !== null && monthlyCost > monthlyRevenue) {
    return keep(
      `No other tier fits, but it costs more than it pays: ${cents(monthlyCost)} of ${monthlyRevenue} USD.`,
    );
  }
  return keep('Its figures fit its tier.');
}

/** Hours that are looked at, and how many there must be. */
export const CAPACITY_HOURS = 14 * 24;
const LEAST_HOURS = 24;
/**
 * A vCPU has the memory of four ACUs (8 GiB), and serves one busy session at least. A session also waits within its
 * transaction, so this is more than it needs.
 */
const ACUS_PER_SESSION = 4;
/** Within an hour, load may be so much higher than its average. */
const BURST = 4;
const LEAST_CAPACITY = 0.5;

function adviseCapacity({ name, size, busySessions }: AdvisedPlace): Advice {
  const { minCapacity = null, maxCapacity = null, instanceClass } = size;
  const typical = quantile(busySessions, 0.5);
  const peak = quantile(busySessions, 1);
  const figures = {
    place: name,
    minCapacity,
    maxCapacity,
    hours: busySessions.length,
    typicalSessions: thousandths(typical),
    peakSessions: thousandths(peak),
  };
  const keep = (reason: string, action: 'keep' | 'unknown' = 'keep'): Advice => ({
    kind: 'capacity',
    action,
    recommended: null,
    reason,
    figures,
  });
  if (instanceClass !== undefined || minCapacity === null || maxCapacity === null) {
    return keep(`It has instances of ${instanceClass ?? 'a fixed size'}, which do not scale.`);
  }
  if (busySessions.length < LEAST_HOURS) {
    return keep(`${LEAST_HOURS} hours of figures are needed.`, 'unknown');
  }
  const least = inSteps(typical * ACUS_PER_SESSION);
  const most = Math.max(2, least, inSteps(peak * BURST * ACUS_PER_SESSION));
  const recommended = `${least} to ${most} ACU`;
  const change = (reason: string): Advice => ({
    kind: 'capacity',
    action: 'change',
    recommended,
    reason,
    figures,
  });
  if (most > maxCapacity) return change(`Its busiest hour may need ${most} ACU, more than ${maxCapacity}.`);
  if (least > minCapacity * 2) {
    return change(
      `It usually needs ${least} ACU: with a minimum of ${minCapacity} it starts cold each time.`,
    );
  }
  if (minCapacity >= 1 && least <= minCapacity / 2) {
    return change(`It usually needs ${least} ACU, and ${minCapacity} are always on.`);
  }
  return keep('Its range fits its load.');
}

/** ACUs of memory that the classes have. */
const CLASS_ACUS: Readonly<Record<string, number>> = {
  'db.t4g.medium': 2,
  'db.r6g.large': 8,
  'db.r6g.xlarge': 16,
  'db.r6g.2xlarge': 32,
};
/** Of steady use: the busiest hour has at most so many times the typical load. */
const STEADY_RATIO = 4;
/** A reservation must save so much to be worth its year. */
const LEAST_SAVING = 0.15;

function adviseReservation({ name, size, busySessions }: AdvisedPlace, prices: RegionPrices): Advice {
  const typical = Math.max(size.minCapacity ?? 0, quantile(busySessions, 0.5) * ACUS_PER_SESSION);
  const peak = Math.max(typical, quantile(busySessions, 1) * ACUS_PER_SESSION);
  const onDemandHour =
    size.instanceClass === undefined
      ? typical * prices.acuHour
      : (prices.instanceHour[size.instanceClass] ?? 0);
  const candidates = Object.entries(CLASS_ACUS)
    .filter(([name, acus]) => (size.instanceClass === undefined ? acus >= peak : name === size.instanceClass))
    .flatMap(([name]) => {
      const hour = prices.reservedInstanceHour[name];
      return hour === undefined ? [] : [{ name, hour }];
    })
    .sort((one, other) => one.hour - other.hour);
  const [best] = candidates;
  const monthly = (hour: number) => cents(hour * size.instances * HOURS_OF_A_MONTH);
  const figures = {
    place: name,
    hours: busySessions.length,
    typicalCapacity: thousandths(typical),
    peakCapacity: thousandths(peak),
    onDemandMonthly: monthly(onDemandHour),
    reservedClass: best?.name ?? null,
    reservedMonthly: best ? monthly(best.hour) : null,
  };
  const answer = (action: Advice['action'], reason: string, recommended: string | null = null): Advice => ({
    kind: 'reservation',
    action,
    recommended,
    reason,
    figures,
  });
  if (busySessions.length < CAPACITY_HOURS) {
    return answer('unknown', `${CAPACITY_HOURS} hours of figures are needed to call its use steady.`);
  }
  if (!best) return answer('keep', 'No class of instances has its peak capacity.');
  if (typical > 0 && peak / typical > STEADY_RATIO) {
    return answer('keep', 'Its use is not steady: capacity on demand follows it.');
  }
  const saving = onDemandHour === 0 ? 0 : 1 - best.hour / onDemandHour;
  if (saving < LEAST_SAVING) return answer('keep', 'A reservation would save too little.');
  const instances = size.instances === 1 ? 'a reserved' : `${size.instances} reserved`;
  return answer(
    'change',
    `Its use is steady, and a reservation of a year saves ${percent(saving)}.`,
    `${instances} ${best.name}`,
  );
}

/** Days over which growth is measured, at least. */
const LEAST_GROWTH_DAYS = 7;
/** Advice is given so many days before the limit is reached. */
const HORIZON_DAYS = 90;

function adviseStorage({ storage, storageLimitBytes }: AdviceFigures): Advice {
  const latest = storage.at(-1);
  const growth = growthPerDay(storage);
  const daysLeft =
    latest === undefined || growth === null || growth <= 0 || storageLimitBytes === null
      ? null
      : Math.max(0, Math.floor((storageLimitBytes - latest.bytes) / growth));
  const figures = {
    storageBytes: latest?.bytes ?? null,
    limitBytes: storageLimitBytes,
    growthBytesPerDay: growth === null ? null : Math.round(growth),
    daysUntilLimit: daysLeft,
    days: storage.length,
  };
  const answer = (action: Advice['action'], reason: string, recommended: string | null = null): Advice => ({
    kind: 'storage',
    action,
    recommended,
    reason,
    figures,
  });
  if (latest === undefined) return answer('unknown', 'Its storage has not been measured yet.');
  if (storageLimitBytes === null) return answer('keep', 'It has no limit of storage.');
  if (latest.bytes >= storageLimitBytes) {
    return answer('change', 'It has reached its limit.', 'a higher tier, or a higher limit');
  }
  if (growth === null) return answer('unknown', `${LEAST_GROWTH_DAYS} days of figures are needed.`);
  if (daysLeft !== null && daysLeft <= HORIZON_DAYS) {
    return answer(
      'change',
      `At its present growth it reaches its limit in ${daysLeft} days.`,
      'a higher tier, or a higher limit',
    );
  }
  return answer('keep', 'Its storage has room.');
}

/** The slope of the least-squares line, in bytes a day; null when the figures span too few days. */
function growthPerDay(storage: AdviceFigures['storage']): number | null {
  const [first] = storage;
  const last = storage.at(-1);
  if (!first || !last) return null;
  const dayOf = (day: string) => (Date.parse(day) - Date.parse(first.day)) / 86_400_000;
  if (dayOf(last.day) < LEAST_GROWTH_DAYS) return null;
  const n = storage.length;
  const meanDay = storage.reduce((sum, { day }) => sum + dayOf(day), 0) / n;
  const meanBytes = storage.reduce((sum, { bytes }) => sum + bytes, 0) / n;
  let [covariance, variance] = [0, 0];
  for (const { day, bytes } of storage) {
    covariance += (dayOf(day) - meanDay) * (bytes - meanBytes);
    variance += (dayOf(day) - meanDay) ** 2;
  }
  return variance === 0 ? null : covariance / variance;
}

function storageShareOf({ storage, storageLimitBytes }: AdviceFigures): number | null {
  const latest = storage.at(-1);
  if (latest === undefined || !storageLimitBytes) return null;
  return thousandths(latest.bytes / storageLimitBytes);
}

/** @param share 0 the least, 1 the largest; 0 of nothing. */
function quantile(values: readonly number[], share: number): number {
  const sorted = [...values].sort((one, other) => one - other);
  return sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))] ?? 0;
}

/** ACUs, upwards in steps of a half. */
const inSteps = (acus: number): number => Math.max(LEAST_CAPACITY, Math.ceil(acus * 2) / 2);
const cents = (dollars: number): number => Math.round(dollars * 100) / 100;
const thousandths = (value: number): number => Math.round(value * 1_000) / 1_000;
const percent = (share: number): string => `${Math.round(share * 100)} %`;
