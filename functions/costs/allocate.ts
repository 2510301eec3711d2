/**
 * Gives the lines of a bill out to tenants, so that the shares are the bill, to the millionth of a dollar.
 *
 * - A line of one tenant is that tenant's.
 * - A measured line is shared among its cell's tenants, or all, by their measured figures; by days when nobody has used
 *   anything.
 * - A line that stands whatever tenants do is that of each day, shared among the tenants that existed on it by what they
 *   have used a day; by heads when none has used anything.
 * - The rest (what no measured figure is for, and cells on days on which they had no tenant) follows in proportion to what
 *   each tenant has got of the other lines, a day.
 *
 * No tenant is charged for days on which the region had none.
 *
 * Each line is divided by the largest-remainder method: everybody gets the whole part of the exact share, and the
 * millionths that are left go to the largest remainders, in the order of ids where they are equal.
 */
import { type Basis, type BillLine, daysOf, type Period, type TenantFigures } from './bill.ts';

/** A tenant's share of a line. Amounts are millionths of a dollar. */
export interface ShareOfLine {
  readonly item: string;
  readonly basis: Basis;
  readonly source: BillLine['source'];
  readonly cellId?: string;
  readonly amount: number;
}

export interface Allocation {
  /** By tenant. A share of nothing is left out. */
  readonly shares: ReadonlyMap<string, readonly ShareOfLine[]>;
  /** What no tenant is charged with: it is of days on which the region had none. */
  readonly unallocated: number;
}

type Figure = (tenant: TenantFigures) => number;

const lifeOf = ({ existed }: TenantFigures) => daysOf(existed);

/** What a line of the whole period is shared by. */
const FIGURES: Readonly<Record<Exclude<Basis, 'rest'>, Figure>> = {
  'database-time': ({ databaseMs }) => databaseMs,
  'request-time': ({ requestMs }) => requestMs,
  requests: ({ requests }) => requests,
  storage: (tenant) => tenant.storageBytes * lifeOf(tenant),
  'bytes-out': ({ bytesOut }) => bytesOut,
  'bytes-moved': ({ movedBytes }) => movedBytes,
  backups: (tenant) => tenant.keptBackupBytes * lifeOf(tenant),
  users: (tenant) => tenant.users * lifeOf(tenant),
  tenants: lifeOf,
};

/** Days one after the other on which the same tenants existed. */
interface Stretch {
  readonly days: number;
  readonly present: ReadonlySet<TenantFigures>;
}

/** Part of a line, of some days of each stretch. */
interface Remainder {
  readonly line: BillLine;
  readonly days: readonly number[];
}

/** Figures below one would be lost as whole weights. */
const WEIGHT_OF_A_DAY = 1e9;
/** No tenant's id. */
const NOBODY = '';

/** @param tenants those that existed in the period. */
export function allocate(
  lines: readonly BillLine[],
  tenants: readonly TenantFigures[],
  period: Period,
): Allocation {
  const shares = new Map<string, ShareOfLine[]>(tenants.map(({ tenantId }) => [tenantId, []]));
  const measured = new Map<string, number>();
  const stretches = stretchesOf(tenants, period);
  const allDays = stretches.map(({ days }) => days);
  const rest: Remainder[] = [];
  let unallocated = 0;

  const give = ({ item, basis, source, cellId }: BillLine, tenantId: string, amount: number) => {
    if (amount === 0) return;
    shares.get(tenantId)?.push({ item, basis, source, ...(cellId === undefined ? {} : { cellId }), amount });
    measured.set(tenantId, (measured.get(tenantId) ?? 0) + amount);
  };
  const divide = (line: BillLine, among: readonly TenantFigures[], figure: Figure) => {
    for (const [tenantId, amount] of divided(line.amount, weighted(among, figure)))
      give(line, tenantId, amount);
  };
  /** @returns what is left of days on which none of them existed. */
  const divideByDay = (
    { line, days }: Remainder,
    among: readonly TenantFigures[],
    figure: Figure,
  ): Remainder => {
    const { weights, vacant } = weightsByDay(stretches, days, among, figure);
    const parts = divided(line.amount, [...weights, { id: NOBODY, weight: weightOf(sumOf(vacant)) }]);
    for (const [tenantId, amount] of parts) if (tenantId !== NOBODY) give(line, tenantId, amount);
    return { line: { ...line, amount: parts.get(NOBODY) ?? 0 }, days: vacant };
  };

  for (const line of lines) {
    if (line.tenantId !== undefined && shares.has(line.tenantId)) {
      give(line, line.tenantId, line.amount);
      continue;
    }
    const among =
      line.cellId === undefined ? tenants : tenants.filter(({ cellId }) => cellId === line.cellId);
    const whole = { line, days: allDays };
    if (line.basis === 'rest' || among.length === 0) rest.push(whole);
    else if (!isByDay(line)) divide(line, among, FIGURES[line.basis]);
    else {
      const left = divideByDay(whole, among, FIGURES[line.basis]);
      if (left.line.amount > 0) rest.push(left);
    }
  }
  // Before any of the rest is given out: it does not count itself.
  const ofMeasured = new Map(measured);
  const figure: Figure = ({ tenantId }) => ofMeasured.get(tenantId) ?? 0;
  for (const one of rest) {
    if (tenants.length === 0) unallocated += one.line.amount;
    else if (isByDay(one.line)) unallocated += divideByDay(one, tenants, figure).line.amount;
    else divide(one.line, tenants, figure);
  }
  return { shares, unallocated };

  /** Where all tenants existed on all days, each day's shares are those of the period. */
  function isByDay({ isStanding = false }: BillLine): boolean {
    return isStanding && !(stretches.length === 1 && stretches[0]?.present.size === tenants.length);
  }
}

function stretchesOf(tenants: readonly TenantFigures[], period: Period): Stretch[] {
  const days = daysOf(period);
  const offset = (day: string) => daysOf({ from: period.from, to: day }) - 1;
  const lives = tenants.map((tenant) => ({
    tenant,
    begin: Math.max(0, offset(tenant.existed.from)),
    end: Math.min(days, offset(tenant.existed.to) + 1),
  }));
  const begins = [...new Set([0, ...lives.flatMap(({ begin, end }) => [begin, end])])]
    .filter((day) => day < days)
    .sort((one, other) => one - other);
  return begins.map((begin, index) => ({
    days: (begins[index + 1] ?? days) - begin,
    present: new Set(
      lives.filter((life) => life.begin <= begin && begin < life.end).map(({ tenant }) => tenant),
    ),
  }));
}

const sumOf = (numbers: readonly number[]) => numbers.reduce((total, one) => total + one, 0);
const weightOf = (days: number) => Math.round(days * WEIGHT_OF_A_DAY);

function weighted(tenants: readonly TenantFigures[], figure: Figure) {
  const isUsed = tenants.some((tenant) => figure(tenant) > 0);
  const weight = isUsed ? figure : lifeOf;
  return tenants.map((tenant) => ({ id: tenant.tenantId, weight: weight(tenant) }));
}

/** The tenants' parts of these days, and the days on which none of them existed, by stretch. */
function weightsByDay(
  stretches: readonly Stretch[],
  days: readonly number[],
  among: readonly TenantFigures[],
  figure: Figure,
) {
  const parts = new Map<string, number>();
  const rates = among.map((tenant) => ({ tenant, rate: figure(tenant) / lifeOf(tenant) }));
  const vacant = stretches.map(({ present }, index) => {
    const count = days[index] ?? 0;
    if (count === 0) return 0;
    const here = rates.filter(({ tenant }) => present.has(tenant));
    if (here.length === 0) return count;
    const sum = sumOf(here.map(({ rate }) => rate));
    for (const { tenant, rate } of here) {
      const part = count * (sum > 0 ? rate / sum : 1 / here.length);
      parts.set(tenant.tenantId, (parts.get(tenant.tenantId) ?? 0) + part);
    }
    return 0;
  });
  return { weights: [...parts].map(([id, part]) => ({ id, weight: weightOf(part) })), vacant };
}

/**
 * Divides a whole amount in proportion to the weights; equally when all are 0.
 * @returns whole parts, by id; their sum is the amount.
 */
export function divided(
  amount: number,
  weighted: readonly { readonly id: string; readonly weight: number }[],
): ReadonlyMap<string, number> {
  if (weighted.length === 0) return new Map();
  const rounded = weighted.map(({ id, weight }) => ({ id, weight: BigInt(Math.max(0, Math.round(weight))) }));
  const isEven = rounded.every(({ weight }) => weight === 0n);
  const parts = rounded.map(({ id, weight }) => ({ id, weight: isEven ? 1n : weight }));
  const sum = parts.reduce((total, { weight }) => total + weight, 0n);
  const whole = BigInt(amount);
  const exact = parts.map(({ id, weight }) => ({
    id,
    part: (whole * weight) / sum,
    remainder: (whole * weight) % sum,
  }));
  let left = Number(whole - exact.reduce((total, { part }) => total + part, 0n));
  const byRemainder = [...exact].sort((one, other) => {
    if (one.remainder !== other.remainder) return one.remainder > other.remainder ? -1 : 1;
    return one.id < other.id ? -1 : 1;
  });
  const result = new Map<string, number>();
  for (const { id, part } of byRemainder) {
    result.set(id, Number(part) + (left > 0 ? 1 : 0));
    if (left > 0) left -= 1;
  }
  return result;
}
