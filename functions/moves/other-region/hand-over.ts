/**
 * The registries' part of a move to another region: after the commit in the databases, both registries are updated.
 *
 *   target's registry   arriving ──one transaction──▶ as the tenant was at the source, with its users and figures
 *   home's registry     (when it is neither) elsewhere, in the new region
 *   source's registry   active ──one transaction, which locks the tenant's row throughout──▶ elsewhere
 *
 * Invariants: the source's registry gives the tenant up only after the target's has committed; a repetition after a
 * crash in between does not overwrite what the tenant has changed at the target since.
 */
import { sql } from 'kysely';
import { WITH_DATA } from '../../contracts/tenant.ts';
import { databaseSizeOf } from '../../places/place.ts';
import { requestAccountsOf } from '../../registry/account-requests.ts';
import type { DataApi, RegistryExecutor } from '../../registry/data-api.ts';
import { type JsonText, parseJson } from '../../registry/registry-column.ts';
import { asText, columnValue, jsonValue, now } from '../../registry/registry-expressions.ts';
import { registrySql } from '../../registry/registry-sql.ts';
import { boundTransaction } from '../../registry/transaction-limits.ts';
import type { Hop, Regions } from '../hop.ts';
import { leaveRegistry, lockTenantRow, type TenantRow, writeRoute, writeTenantRow } from './tenant-row.ts';

type Registry = Pick<DataApi, 'query' | 'transaction'>;

/** In the order of insertion. References to moves become null, because moves stay where they were made. */
const TABLES = [
  'tenant_users',
  'usage_samples',
  'usage_hours',
  'usage_days',
  'tenant_offers',
  'promotion_decisions',
] as const;
type HandedOver = (typeof TABLES)[number];
const NO_MOVE = jsonValue({ move_id: null });
const NOTHING = jsonValue({});
/** One answer of the Data API has a megabyte at most. */
const ROWS_AT_ONCE = 500;

/**
 * Hands a committed hop's tenant over to the other region's registry. May be repeated, and interrupted anywhere.
 * @param note writes the hop's facts to the source's registry, in the same transaction.
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
    // It waits for the other registry, which may have to insert a hundred thousand users.
    await source.query("SELECT set_config('idle_in_transaction_session_timeout', '120s', true)");
    const tenant = await lockTenantRow(source, tenantId);
    if (tenant && tenant.status !== 'elsewhere') {
      const rows = new Map<string, readonly object[]>();
      for (const table of TABLES) rows.set(table, await readRows(source, table, tenantId));
      await receive(regions.of(target.region), tenant, target, rows);
      if (home !== undefined && home !== target.region && home !== regions.ownKey) {
        await tellHome(regions.of(home), tenantId, target.region);
      }
      await leaveRegistry(source, tenantId, target.region, WITH_DATA);
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
    // Handed over before: the other registry's rows are the current ones.
    if (known && known.status !== 'arriving' && known.status !== 'elsewhere') return;
    const { region, isolationModel, schemaName } = target;
    await writeTenantRow(transaction, {
      ...tenant,
      data_residency: region,
      home_region: region,
      isolation_model: isolationModel,
      schema_name: schemaName,
      database_size: isolationModel === 'dedicated' ? databaseSizeOf(target) : null,
    });
    await writeRoute(transaction, tenantId, target);
    for (const table of [...TABLES].reverse()) {
      await sql`delete from ${sql.table(table)}
        where tenant_id = ${columnValue('tenants.tenant_id', tenantId)}`.execute(registrySql(transaction));
    }
    for (const table of TABLES) await insertRows(transaction, table, rows.get(table) ?? []);
    // Users sign in at the pool of their tenant's region.
    await requestAccountsOf(transaction, tenantId);
  });
}

async function readRows(source: RegistryExecutor, table: HandedOver, tenantId: string): Promise<object[]> {
  const found: object[] = [];
  for (;;) {
    const { rows } = await sql<{ row: JsonText<object> }>`
      select ${asText(sql`to_jsonb(r)
                 || case when to_jsonb(r) ? 'move_id' then ${NO_MOVE} else ${NOTHING} end`)} as row
       from ${sql.table(table)} as r where tenant_id = ${columnValue('tenants.tenant_id', tenantId)}
       order by ${sql.join(ORDER[table].map((column) => sql.ref(column)))} offset ${found.length} limit ${sql.lit(ROWS_AT_ONCE)}`.execute(
      registrySql(source),
    );
    found.push(...rows.map(({ row }) => parseJson(row)));
    if (rows.length < ROWS_AT_ONCE) return found;
  }
}

/** By a key, so that pages of one transaction do not overlap. */
const ORDER = {
  tenant_users: ['user_id'],
  usage_samples: ['sampled_on'],
  usage_hours: ['hour', 'region'],
  usage_days: ['day'],
  tenant_offers: ['offer_id'],
  promotion_decisions: ['decision_id'],
} as const satisfies Record<HandedOver, readonly string[]>;

async function insertRows(
  transaction: RegistryExecutor,
  table: HandedOver,
  rows: readonly object[],
): Promise<void> {
  for (let at = 0; at < rows.length; at += ROWS_AT_ONCE) {
    const part = jsonValue(rows.slice(at, at + ROWS_AT_ONCE));
    await sql`insert into ${sql.table(table)}
      select * from jsonb_populate_recordset(cast(null as ${sql.table(table)}), ${part})`.execute(
      registrySql(transaction),
    );
  }
}

/** Home's registry has the region of every tenant of another region. */
async function tellHome(home: Registry, tenantId: string, region: string): Promise<void> {
  await registrySql(home)
    .updateTable('tenants')
    .set({ data_residency: region, home_region: region, updated_at: now })
    .where('tenant_id', '=', tenantId)
    .where('status', '=', 'elsewhere')
    .execute();
}
