/**
 * Gives the lines of a bill out to tenants, so that the shares are the bill, to the millionth of a dollar.
 *
 * - A line of one tenant is that tenant's.
 * - A measured line is shared among its cell's tenants, or all, by their measured figures; by heads when nobody has used
 *   anything.
 * - The rest (what stands whatever tenants do, and cells without tenants) follows in proportion to what each tenant has
 *   got of the measured lines.
 *
 * Each line is divided by the largest-remainder method: everybody gets the whole part of the exact share, and the
 * millionths that are left go to the largest remainders, in the order of ids where they are equal.
 */
import type { Basis, BillLine, TenantFigures } from './bill.ts';

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
  /** What nobody can be charged with, because the region has no tenant. */
  readonly unallocated: number;
}

const FIGURES: Readonly<Record<Exclude<Basis, 'rest'>, (tenant: TenantFigures) => number>> = {
  'database-time': ({ databaseMs }) => databaseMs,
  'request-time': ({ requestMs }) => requestMs,
  requests: ({ requests }) => requests,
  storage: ({ storageBytes }) => storageBytes,
  'bytes-out': ({ bytesOut }) => bytesOut,
  'bytes-moved': ({ movedBytes }) => movedBytes,
  backups: ({ keptBackupBytes }) => keptBackupBytes,
  users: ({ users }) => users,
  tenants: () => 1,
};

export function allocate(lines: readonly BillLine[], tenants: readonly TenantFigures[]): Allocation {
  const shares = new Map<string, ShareOfLine[]>(tenants.map(({ tenantId }) => [tenantId, []]));
  const measured = new Map<string, number>();
  const rest: BillLine[] = [];
  let unallocated = 0;

  const give = (line: BillLine, tenantId: string, amount: number) => {
    if (amount === 0) return;
    const { item, basis, source, cellId } = line;
    shares.get(tenantId)?.push({ item, basis, source, ...(cellId === undefined ? {} : { cellId }), amount });
    measured.set(tenantId, (measured.get(tenantId) ?? 0) + amount);
  };
  const divide = (
    line: BillLine,
    among: readonly TenantFigures[],
    figure: (tenant: TenantFigures) => number,
  ) => {
    const parts = divided(
      line.amount,
      among.map((tenant) => ({ id: tenant.tenantId, weight: figure(tenant) })),
    );
    for (const [tenantId, amount] of parts) give(line, tenantId, amount);
  };

  for (const line of lines) {
    if (line.tenantId !== undefined && shares.has(line.tenantId)) {
      give(line, line.tenantId, line.amount);
      continue;
    }
    const among =
      line.cellId === undefined ? tenants : tenants.filter(({ cellId }) => cellId === line.cellId);
    if (line.basis === 'rest' || among.length === 0) rest.push(line);
    else divide(line, among, FIGURES[line.basis]);
  }
  // Before any of the rest is given out: it does not count itself.
  const ofMeasured = new Map(measured);
  for (const line of rest) {
    if (tenants.length === 0) unallocated += line.amount;
    else divide(line, tenants, ({ tenantId }) => ofMeasured.get(tenantId) ?? 0);
  }
  return { shares, unallocated };
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
