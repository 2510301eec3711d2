/**
 * The registry's part of a move to another region: what was committed in the databases is told in both registries.
 *
 *   target's registry   arriving ──one transaction──▶ as the tenant was at the source, with its users and figures
 *   home's registry     (where it is neither) elsewhere, in the new region
 *   source's registry   active ──one transaction, which holds the tenant's row meanwhile──▶ elsewhere
 *
 * Invariants: the source's registry lets go of the tenant only after the target's has committed; done again after a
 * crash in between, nothing is written over what the tenant has done at the target since.
 */
import type { DataApi, RegistryExecutor } from '../../registry/data-api.ts';
import type { Hop } from '../hop.ts';
import { boundTransaction } from '../moving-tenant.ts';
import type { Regions } from '../regions.ts';
import { becomeElsewhere, lockTenantRow, type TenantRow, writeRoute, writeTenantRow } from './tenant-row.ts';

type Registry = Pick<DataApi, 'query' | 'transaction'>;

/** In the order in which they can be inserted. What names a move names none afterwards: moves stay where they were made. */
const TABLES = ['tenant_users', 'usage_samples', 'tenant_offers', 'promotion_decisions'] as const;
/** One call of the Data API answers a megabyte at most. */
const ROWS_AT_ONCE = 500;

/**
 * Hands a committed hop's tenant over. May be repeated, and killed anywhere.
 * @param note what is told of the hop in the source's registry, in the same transaction.
 */
export function handOver(
  registry: Pick<Registry, 'transaction'>,
  regions: Regions,
  { attempt: { tenantId }, target }: Hop,
  note: (transaction: RegistryExecutor) => Promise<void>,
): Promise<void> {
  const [home] = regions.keys;
  return registry.transaction(async (source) => {
    await boundTransaction(source);
    // It waits for the other registry, which may have a hundred thousand users to take.
    await source.query("SELECT set_config('idle_in_transaction_session_timeout', '120s', true)");
    const tenant = await lockTenantRow(source, tenantId);
    if (tenant && tenant.status !== 'elsewhere') {
      const rows = new Map<string, readonly object[]>();
      for (const table of TABLES) rows.set(table, await readRows(source, table, tenantId));
      await receive(regions.of(target.region), tenant, target, rows);
      if (home !== undefined && home !== target.region && home !== regions.ownKey) {
        await tellHome(regions.of(home), tenantId, target.region);
      }
      await becomeElsewhere(source, tenantId, target.region, [
        ...(['active', 'suspended', 'offboarding'] as const),
      ]);
    }
    await note(source);
  });
}

function receive(
  registry: Registry,
  tenant: TenantRow,
  target: Hop['target'],
  rows: ReadonlyMap<string, readonly object[]>,
): Promise<void> {
  const tenantId = String(tenant.tenant_id);
  return registry.transaction(async (transaction) => {
    await boundTransaction(transaction);
    const known = await lockTenantRow(transaction, tenantId);
    // Handed over before: since then this registry is the one that knows better.
    if (known && known.status !== 'arriving' && known.status !== 'elsewhere') return;
    const { region, isolationModel, schemaName } = target;
    await writeTenantRow(transaction, {
      ...tenant,
      ...{ data_residency: region, home_region: region },
      ...{ isolation_model: isolationModel, schema_name: schemaName },
    });
    await writeRoute(transaction, tenantId, target);
    for (const table of [...TABLES].reverse()) {
      await transaction.query(`DELETE FROM ${table} WHERE tenant_id = :tenantId::uuid`, { tenantId });
    }
    for (const table of TABLES) await insertRows(transaction, table, rows.get(table) ?? []);
  });
}

async function readRows(source: RegistryExecutor, table: string, tenantId: string): Promise<object[]> {
  const found: object[] = [];
  for (;;) {
    const rows = await source.query<{ row: string }>(
      `SELECT (to_jsonb(r) || CASE WHEN to_jsonb(r) ? 'move_id' THEN '{"move_id": null}' ELSE '{}' END::jsonb)::text AS row
       FROM ${table} r WHERE tenant_id = :tenantId::uuid
       ORDER BY ${ORDER[table as keyof typeof ORDER]} OFFSET :offset::int LIMIT ${ROWS_AT_ONCE}`,
      { tenantId, offset: found.length },
    );
    found.push(...rows.map(({ row }) => JSON.parse(row) as object));
    if (rows.length < ROWS_AT_ONCE) return found;
  }
}

/** By a key, so that pages of one transaction do not overlap. */
const ORDER = {
  tenant_users: 'user_id',
  usage_samples: 'sampled_on',
  tenant_offers: 'offer_id',
  promotion_decisions: 'decision_id',
} as const satisfies Record<(typeof TABLES)[number], string>;

async function insertRows(
  transaction: RegistryExecutor,
  table: string,
  rows: readonly object[],
): Promise<void> {
  for (let at = 0; at < rows.length; at += ROWS_AT_ONCE) {
    await transaction.query(
      `INSERT INTO ${table} SELECT * FROM jsonb_populate_recordset(NULL::${table}, :rows::jsonb)`,
      { rows: JSON.stringify(rows.slice(at, at + ROWS_AT_ONCE)) },
    );
  }
}

/** Home knows of each tenant of another region in which one it is. */
async function tellHome(home: Registry, tenantId: string, region: string): Promise<void> {
  await home.query(
    `UPDATE tenants SET data_residency = :region, home_region = :region, updated_at = now()
     WHERE tenant_id = :tenantId::uuid AND status = 'elsewhere'`,
    { tenantId, region },
  );
}
