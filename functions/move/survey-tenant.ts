import type pg from 'pg';
import { identifier } from '../database/ddl/identifier.ts';
import type { DataApi } from '../database/registry/data-api.ts';
import { tenantTableOrder } from '../database/tables/tenant-tables.ts';
import { inTransaction } from '../database/transfer/claim.ts';
import { asOwnerOf, type Place } from './hop.ts';
import { presentPlace } from './hop-places.ts';

export interface TableSize {
  readonly name: string;
  readonly rows: number;
  readonly bytes: number;
}

/** How much data a tenant has. */
export interface TenantSurvey {
  readonly rows: number;
  readonly bytes: number;
  readonly tables: readonly TableSize[];
}

/** The operator who waits for a dry run has 30 seconds in all. */
const STATEMENT_SECONDS = 20;
/** Beyond this a table's rows are what the last ANALYZE estimated: counting them would take too long. */
const COUNTED_BYTES = 512 * 1024 ** 2;

/**
 * Counts rows and bytes of the tenant's tables where it lives now. In shared tables bytes are those of its rows, without
 * indexes; in a schema they are the tables' whole size on disk.
 * @throws the driver's errors; TN001 while the tenant is fenced.
 */
export async function surveyTenant(
  registry: Pick<DataApi, 'query'>,
  tenantId: string,
): Promise<TenantSurvey> {
  const place = await presentPlace(registry, tenantId);
  const tables = await asOwnerOf(place, (owner) =>
    inTransaction(owner, 'repeatable read', 2 * STATEMENT_SECONDS, async () => {
      await owner.query(`SET LOCAL statement_timeout = '${STATEMENT_SECONDS}s'`);
      if (place.isolationModel === 'shared')
        await owner.query('SELECT tenancy.enter_move($1, NULL)', [tenantId]);
      const sizes: TableSize[] = [];
      for (const name of tenantTableOrder) sizes.push(...(await measure(owner, place, name)));
      return sizes;
    }),
  );
  const total = (of: 'rows' | 'bytes') => tables.reduce((sum, table) => sum + table[of], 0);
  return { rows: total('rows'), bytes: total('bytes'), tables };
}

/** Nothing for a table that this place does not have yet. */
async function measure(owner: pg.Client, place: Place, name: string): Promise<TableSize[]> {
  const table = `${identifier(place.schemaName)}.${identifier(name)}`;
  const { rows: found } = await owner.query<{ bytes: string | number; estimate: number }>(
    `select pg_catalog.pg_total_relation_size(oid) as bytes, greatest(reltuples, 0)::float8 as estimate
     from pg_catalog.pg_class where oid = pg_catalog.to_regclass($1)`,
    [table],
  );
  const [relation] = found;
  if (!relation) return [];
  if (place.isolationModel === 'shared') {
    // The policies let through this tenant's rows only.
    const { rows } = await owner.query<{ rows: string; bytes: string }>(
      `select count(*) as rows, coalesce(sum(pg_catalog.pg_column_size(t.*)), 0) as bytes from ${table} t`,
    );
    return [{ name, rows: Number(rows[0]?.rows), bytes: Number(rows[0]?.bytes) }];
  }
  const bytes = Number(relation.bytes);
  if (bytes > COUNTED_BYTES && relation.estimate > 0) {
    return [{ name, rows: Math.round(relation.estimate), bytes }];
  }
  const { rows } = await owner.query<{ rows: string }>(`select count(*) as rows from ${table}`);
  return [{ name, rows: Number(rows[0]?.rows), bytes }];
}
