/**
 * Erases what one database has of a tenant: rows of shared tables, schemas (also those that a restore or a move has left),
 * roles, captured changes, and the placement; then searches again.
 *
 *   close the placement ─▶ rows, in batches ─▶ schemas ─▶ roles ─▶ placement, under the writers' lock, when no row is left
 *
 * Everything is found by the tenant's id in the catalogue and in the tables, not by what the registry has: nothing is
 * forgotten that a move or a restore did not clean up. Every step may be interrupted and repeated.
 */
import type pg from 'pg';
import { identifier, qualified } from '../database/ddl/identifier.ts';
import { commentOf, dropTenantSchema } from '../database/provisioning/tenant-schema.ts';
import { forgetErasedRows, tablesWithOldSamples } from '../database/tables/column-samples.ts';
import { SHARED_SCHEMA } from '../database/tables/migrate-tenant-tables.ts';
import { TENANT_SCHEMA_VERSION } from '../database/tables/schema-version.ts';
import { tenantTablesAt } from '../database/tables/tenant-tables.ts';
import { exclusively, inTransaction } from '../database/transfer/claim.ts';
import { patiently, readPlacement, withoutWriters } from '../database/transfer/fence.ts';
import { sharedTablesVersion } from '../database/transfer/place-facts.ts';
import { eraseSharedRows } from '../database/transfer/reshape/erase-shared-rows.ts';
import { ErasureIncomplete, TenantBusy } from './errors.ts';
import type { Kept } from './offboarding-records.ts';

export type Counts = Readonly<Record<string, number>>;

const ROWS = 'rows of ';
/** They have ids and names of roles, no other data of tenants. */
const TENANCY_TABLES = ['placement', 'captured_changes', 'retried_requests'];
/** Of a transaction that counts. */
const COUNT_SECONDS = 600;

/**
 * What the database has of the tenant, by kind: `rows of <table>` of the shared tables, `schemas`, `roles` and so on.
 * Kinds without any are left out. It enters the tenant, because row-level security shows the owner nothing else; where
 * the tenant has no placement, one is made in the transaction, which is rolled back.
 */
export async function searchDatabase(owner: pg.ClientBase, tenantId: string): Promise<Counts> {
  const catalogue = await searchCatalogue(owner, tenantId);
  const rows = (await hasSharedTables(owner)) ? await countSharedRows(owner, tenantId) : {};
  return { ...rows, ...catalogue };
}

/** Rows of a tenant's own schema, by table; for a database that is deleted as a whole. */
export async function countSchemaRows(owner: pg.ClientBase, tenantId: string): Promise<Counts> {
  const counts: Record<string, number> = {};
  for (const { name } of await schemasOf(owner, tenantId)) {
    const { rows } = await owner.query<{ table: string }>(
      `select c.relname as table from pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid = c.relnamespace
       where n.nspname = $1 and c.relkind in ('r', 'p') and not c.relispartition order by 1`,
      [name],
    );
    for (const { table } of rows) {
      const counted = await owner.query<{ count: string }>(`SELECT count(*) FROM ${qualified(name, table)}`);
      add(counts, `${ROWS}${table}`, Number(counted.rows[0]?.count));
    }
  }
  return { ...counts, ...(await searchCatalogue(owner, tenantId)) };
}

export interface EraseDatabaseOptions {
  /** What the facts call the database. */
  readonly store: string;
  /** What was found before the erasure began. */
  readonly found: Counts;
  /** On `performance.now()`'s clock. */
  readonly deadline: number;
}

/**
 * @returns false when the deadline came first: call it again.
 * @throws {TenantBusy} an attempt at a move has claimed the tenant.
 * @throws {ErasureIncomplete} the search at the end has found something. And the driver's errors.
 */
export async function eraseDatabase(
  owner: pg.Client,
  tenantId: string,
  { store, found, deadline }: EraseDatabaseOptions,
): Promise<boolean> {
  await closePlacement(owner, tenantId);
  const shared = await hasSharedTables(owner);
  if (shared && Object.keys(found).some((kind) => kind.startsWith(ROWS))) {
    await ensurePlacement(owner, tenantId);
    const guarded = (batch: () => Promise<number>) =>
      exclusively(owner, { tenantId }, batch, { seconds: COUNT_SECONDS });
    if ((await eraseSharedRows(owner, tenantId, guarded, deadline)) !== 'erased') return false;
    if (!(await forgetErasedRows(owner))) return false;
  }
  // Their comment says whose they are, so a schema with the name of another tenant is refused.
  for (const { name } of await schemasOf(owner, tenantId))
    await dropTenantSchema(owner, { tenantId, schemaName: name, roleName: name });
  for (const role of await rolesOf(owner, tenantId))
    await dropTenantSchema(owner, { tenantId, schemaName: role, roleName: role });
  for (const table of ['captured_changes', 'retried_requests'])
    await owner.query(`DELETE FROM ${qualified('tenancy', table)} WHERE tenant_id = $1`, [tenantId]);
  if (shared) await requireNoRows(owner, tenantId, store);
  await patiently({}, () =>
    withoutWriters(owner, tenantId, async () => {
      await owner.query('delete from tenancy.placement where tenant_id = $1', [tenantId]);
    }),
  );
  for (const table of TENANCY_TABLES) await owner.query(`ANALYZE ${qualified('tenancy', table)}`);
  const left = await searchDatabase(owner, tenantId);
  if (Object.keys(left).length > 0) throw new ErasureIncomplete(store, left);
  return performance.now() < deadline;
}

/**
 * From now on nobody enters the tenant here: writers in flight have ended, and later requests are refused. The row stays
 * for the erasure itself, which enters by it.
 */
async function closePlacement(owner: pg.ClientBase, tenantId: string): Promise<void> {
  const placement = await readPlacement(owner, tenantId);
  if (!placement) return;
  if (placement.mover !== null) throw new TenantBusy('A move of the tenant is running.');
  await patiently({}, () =>
    withoutWriters(owner, tenantId, async () => {
      await owner.query(
        `update tenancy.placement
         set state = 'moved', capture = false, fence_token = null, fence_expires_at = null, former = null,
             previous_role_name = null, forward = '{}'
         where tenant_id = $1 and mover is null`,
        [tenantId],
      );
    }),
  );
}

const PLACE = `insert into tenancy.placement (tenant_id, epoch, state, isolation_model, schema_name, role_name, forward)
  values ($1, 1, 'moved', 'shared', 'shared', 'strata_starter', '{}') on conflict (tenant_id) do nothing`;

/** Rows without a placement, which nothing leaves, can be entered by this one. */
async function ensurePlacement(owner: pg.ClientBase, tenantId: string): Promise<void> {
  await owner.query(PLACE, [tenantId]);
}

class Counted extends Error {}

async function countSharedRows(owner: pg.ClientBase, tenantId: string): Promise<Counts> {
  const version = Math.min(await sharedTablesVersion(owner), TENANT_SCHEMA_VERSION);
  const counts: Record<string, number> = {};
  try {
    await inTransaction(owner, 'read committed', COUNT_SECONDS, async () => {
      await owner.query(PLACE, [tenantId]);
      await owner.query(
        `update tenancy.placement set state = 'moved', forward = '{}', fence_token = null, fence_expires_at = null
         where tenant_id = $1 and fence_token is not null`,
        [tenantId],
      );
      await owner.query('select tenancy.enter_move($1, null)', [tenantId]);
      for (const { name } of tenantTablesAt(version)) {
        const { rows } = await owner.query<{ count: string }>(
          `SELECT count(*) FROM ${qualified(SHARED_SCHEMA, name)} WHERE tenant_id = $1`,
          [tenantId],
        );
        add(counts, `${ROWS}${name}`, Number(rows[0]?.count));
      }
      // Nothing of this transaction is to stay.
      throw new Counted();
    });
  } catch (error) {
    if (!(error instanceof Counted)) throw error;
  }
  return counts;
}

async function requireNoRows(owner: pg.ClientBase, tenantId: string, store: string): Promise<void> {
  const left = await countSharedRows(owner, tenantId);
  if (Object.keys(left).length > 0) throw new ErasureIncomplete(store, left);
}

/**
 * What the erasure leaves in the planner's statistics: PostgreSQL keeps those of a table that has become empty, whose
 * ANALYZE finds no row. Call it after {@link eraseDatabase}.
 * @param found what was found before.
 */
export async function statisticsLeft(owner: pg.ClientBase, tenantId: string, found: Counts): Promise<Kept[]> {
  const erased = Object.keys(found).flatMap((kind) =>
    kind.startsWith(ROWS) ? [kind.slice(ROWS.length)] : [],
  );
  const shared = (await hasSharedTables(owner)) ? await tablesWithOldSamples(owner, erased) : [];
  const names = [...shared, ...(await tenancyTablesQuoting(owner, tenantId))];
  if (names.length === 0) return [];
  return [
    {
      what: `samples of columns in the planner’s statistics of tables that are empty now: ${names.join(', ')}`,
      count: names.length,
      until: null,
      why: 'The tenant was the last one in them. PostgreSQL replaces the samples when the tables have rows again; only the administrator of the database can read them.',
    },
  ];
}

async function tenancyTablesQuoting(owner: pg.ClientBase, tenantId: string): Promise<string[]> {
  const { rows } = await owner.query<{ name: string }>(
    `select distinct 'tenancy.' || tablename as name from pg_catalog.pg_stats
     where schemaname = 'tenancy' and tablename = any ($1)
       and concat(most_common_vals::text, histogram_bounds::text) like any ($2) order by 1`,
    [TENANCY_TABLES, [tenantId, tenantId.replaceAll('-', '')].map((id) => `%${id}%`)],
  );
  return rows.map(({ name }) => name);
}

async function hasSharedTables(owner: pg.ClientBase): Promise<boolean> {
  const { rows } = await owner.query<{ has: boolean }>(
    `select pg_catalog.to_regclass('tenancy.shared_schema_migrations') is not null as has`,
  );
  return rows[0]!.has;
}

const hexOf = (tenantId: string) => tenantId.replaceAll('-', '');

/** Schemas of the tenant, by their comments. */
async function schemasOf(owner: pg.ClientBase, tenantId: string): Promise<{ readonly name: string }[]> {
  const { rows } = await owner.query<{ name: string }>(
    `select nspname as name from pg_catalog.pg_namespace
     where pg_catalog.obj_description(oid, 'pg_namespace') = $1 order by 1`,
    [commentOf(tenantId)],
  );
  return rows;
}

/** Roles with a name of the tenant's. */
async function rolesOf(owner: pg.ClientBase, tenantId: string): Promise<string[]> {
  const { rows } = await owner.query<{ name: string }>(
    `select rolname as name from pg_catalog.pg_roles where pg_catalog.strpos(rolname, $1) > 0 order by 1`,
    [hexOf(tenantId)],
  );
  return rows.map(({ name }) => identifier(name).replaceAll('"', ''));
}

const CATALOGUE = `
  select 'schemas' as kind from pg_catalog.pg_namespace
   where pg_catalog.strpos(nspname, $1) > 0 or pg_catalog.obj_description(oid, 'pg_namespace') = $3
  union all select 'roles' from pg_catalog.pg_roles where pg_catalog.strpos(rolname, $1) > 0
  union all select 'publications' from pg_catalog.pg_publication where pg_catalog.strpos(pubname, $1) > 0
  union all select 'subscriptions' from pg_catalog.pg_stat_subscription where pg_catalog.strpos(subname, $1) > 0
  union all select 'replication slots' from pg_catalog.pg_replication_slots where pg_catalog.strpos(slot_name, $1) > 0
  union all select 'captured changes' from tenancy.captured_changes where tenant_id = $2
  union all select 'counts of repeated requests' from tenancy.retried_requests where tenant_id = $2
  union all select 'placements' from tenancy.placement where tenant_id = $2`;

async function searchCatalogue(owner: pg.ClientBase, tenantId: string): Promise<Counts> {
  const { rows } = await owner.query<{ kind: string; count: string }>(
    `select kind, count(*) from (${CATALOGUE}) found group by kind order by kind`,
    [hexOf(tenantId), tenantId, commentOf(tenantId)],
  );
  return Object.fromEntries(rows.map(({ kind, count }) => [kind, Number(count)]));
}

function add(counts: Record<string, number>, kind: string, count: number): void {
  if (count > 0) counts[kind] = (counts[kind] ?? 0) + count;
}
