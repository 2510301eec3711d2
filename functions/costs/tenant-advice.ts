import { sql } from 'kysely';
import type { CostBasis } from '../contracts/price-table.ts';
import type { RegistryExecutor } from '../registry/data-api.ts';
import { columnValue } from '../registry/registry-expressions.ts';
import { registrySql } from '../registry/registry-sql.ts';
import { getTenant } from '../registry/tenant-record.ts';
import { type Advice, type AdviceFigures, advise, CAPACITY_HOURS } from './advise.ts';
import { type Period, sizeOf, type TenantFigures } from './bill.ts';
import { dollars, monthlyOf, regionCosts } from './tenant-costs.ts';

export interface TenantAdvice {
  readonly tenantId: string;
  /** When it was computed. */
  readonly asOf: string;
  /** Days whose costs were looked at. */
  readonly from: string;
  readonly to: string;
  readonly items: readonly Advice[];
}

const HOUR_MS = 3_600_000;
const GB = 1e9;
/** Days over which storage is looked at. */
const STORAGE_DAYS = 60;

/** @param at milliseconds since the epoch. @throws {ResourceNotFound | NoPrices | RegistryError} */
export async function tenantAdvice(
  registry: RegistryExecutor,
  tenantReference: string,
  period: Period,
  at: number,
): Promise<TenantAdvice> {
  const tenant = await getTenant(registry, tenantReference);
  const { tenantId, tier, complianceRequirements, monthlyRevenue } = tenant;
  const { basis, tenants, allocation } = await regionCosts(registry, period);
  const figures = tenants.find((one) => one.tenantId === tenantId);
  const cost = (allocation.shares.get(tenantId) ?? []).reduce((sum, { amount }) => sum + amount, 0);
  const samples = await samplesSince(registry, tenantId, new Date(at - STORAGE_DAYS * 24 * HOUR_MS));
  const items = advise({
    tier,
    complianceRequirements: complianceRequirements ?? [],
    users: samples.at(-1)?.users ?? null,
    monthlyRevenue,
    monthlyCost: dollars(monthlyOf(cost, figures?.existed ?? period)),
    storageLimitBytes: tenant.maxStorageGb === null ? null : tenant.maxStorageGb * GB,
    storage: samples.flatMap(({ day, bytes }) => (bytes === null ? [] : [{ day, bytes }])),
    place: figures && (await placeOf(registry, { tenantId, figures, basis, at })),
    prices: basis.prices,
  });
  return { tenantId, asOf: new Date(at).toISOString(), ...period, items };
}

async function samplesSince(registry: RegistryExecutor, tenantId: string, since: Date) {
  const rows = await registrySql(registry)
    .selectFrom('usage_samples')
    .select(['sampled_on', 'active_users', 'active_employees', 'storage_bytes'])
    .where('tenant_id', '=', tenantId)
    .where('sampled_on', '>=', since.toISOString().slice(0, 10))
    .orderBy('sampled_on')
    .execute();
  return rows.map((row) => ({
    day: row.sampled_on,
    users: Math.max(row.active_users, row.active_employees),
    bytes: row.storage_bytes,
  }));
}

interface Placed {
  readonly tenantId: string;
  readonly figures: TenantFigures;
  readonly basis: CostBasis;
  readonly at: number;
}

/** Its cell with the load of all tenants there, or its own database. */
async function placeOf(
  registry: RegistryExecutor,
  { tenantId, figures, basis: { installation }, at }: Placed,
): Promise<AdviceFigures['place']> {
  const { cellId, databaseSize } = figures;
  const cell = installation.cells.find(({ id }) => id === cellId);
  // A cell that the configuration no longer has.
  if (cellId !== null && !cell) return undefined;
  const lastHour = at - (at % HOUR_MS) - HOUR_MS;
  const first = new Date(lastHour - (CAPACITY_HOURS - 1) * HOUR_MS).toISOString();
  const { rows } = await sql<{ ms: number; hours_ago: number }>`
    select cast(sum(h.database_ms) as bigint) as ms,
           cast(extract(epoch from ${columnValue('usage_hours.hour', new Date(lastHour).toISOString())} - h.hour) / 3600
                as integer) as hours_ago
    from usage_hours h join tenant_database_routing r on r.tenant_id = h.tenant_id
    where h.hour between ${columnValue('usage_hours.hour', first)}
                     and ${columnValue('usage_hours.hour', new Date(lastHour).toISOString())}
      and ${cell ? sql`r.cell_id = ${columnValue('cells.cell_id', cell.id)}` : sql`r.tenant_id = ${columnValue('tenants.tenant_id', tenantId)}`}
    group by h.hour`.execute(registrySql(registry));
  const byHour = new Map(rows.map(({ hours_ago, ms }) => [hours_ago, ms / HOUR_MS]));
  // An hour without a row had no request, from the first one on that has some.
  const oldest = Math.max(-1, ...byHour.keys());
  const busySessions = Array.from({ length: oldest + 1 }, (_, hoursAgo) => byHour.get(hoursAgo) ?? 0);
  return {
    name: cell ? `cell ${cell.id}` : 'its own database',
    size: cell ?? sizeOf(installation, { databaseSize }),
    busySessions,
  };
}
