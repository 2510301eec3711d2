import { assertUuid, identifier, literal, qualified } from '../../ddl/identifier.ts';
import { moveMarkers } from '../../tables/operations-tables.ts';
import type { TenantTable } from '../../tables/tenant-table.ts';
import { tenantTablesAt } from '../../tables/tenant-tables.ts';

/** One of the two places of a reshape. */
export interface Side {
  readonly model: 'shared' | 'isolated';
  readonly schema: string;
}

/** Both places, in one database. */
export interface Sides {
  readonly tenantId: string;
  readonly source: Side;
  readonly target: Side;
  /** A random id: no value of the tenant begins with it. */
  readonly attemptId: string;
  /** What the reshape carries over, in foreign-key order: tables and columns that both places have. */
  readonly tables: readonly TenantTable[];
}

/** What a reshape between places of that schema version carries over. Markers belong to relocates only. */
export function movedTablesAt(schemaVersion: number): TenantTable[] {
  return tenantTablesAt(schemaVersion).filter(({ name }) => name !== moveMarkers.name);
}

/** SQL of a FROM item. */
export function rowsOf(side: Side, table: TenantTable, alias: string): string {
  return `${qualified(side.schema, table.name)} AS ${alias}`;
}

/**
 * SQL that is true of the tenant's rows. The policies of the shared tables say the same, but the planner sees no
 * constant in them, and would neither skip partitions nor know how many rows to expect.
 */
export function ofTenant(side: Side, alias: string, tenantId: string): string {
  assertUuid(tenantId);
  return side.model === 'shared' ? `${alias}.tenant_id = ${literal(tenantId)}::uuid` : 'true';
}

/**
 * `INSERT INTO target … SELECT … FROM source AS s` up to where its FROM clause ends; columns are named on both
 * sides, because tables that were migrated have them in another order than new ones.
 */
export function insertFromSource({ tenantId, source, target }: Sides, table: TenantTable): string {
  assertUuid(tenantId);
  const names = Object.keys(table.columns).map(identifier);
  const shared = target.model === 'shared';
  const into = shared ? ['tenant_id', ...names] : names;
  const values = names.map((name) => `s.${name}`);
  const selected = shared ? [`${literal(tenantId)}::uuid`, ...values] : values;
  return `INSERT INTO ${rowsOf(target, table, 't')} (${into.join(', ')})
    SELECT ${selected.join(', ')} FROM ${rowsOf(source, table, 's')}`;
}
