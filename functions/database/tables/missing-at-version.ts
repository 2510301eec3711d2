import { type AnyColumn, isPresentAt, type TenantTable } from './tenant-table.ts';
import { tenantTables } from './tenant-tables.ts';

/** One tenant table of the definition, as targets of some schema version have it. */
export interface TableOnTarget {
  readonly exists: boolean;
  readonly present: ReadonlySet<string>;
  /** Columns of the definition that the target lacks. */
  readonly missing: ReadonlyMap<string, AnyColumn>;
}

/** The tables of the definition by name. */
export type TablesOnTarget = ReadonlyMap<string, TableOnTarget>;

/** What targets of that schema version have and lack of the tables; undefined when they lack nothing. */
export function tablesOnTarget(tables: readonly TenantTable[], version: number): TablesOnTarget | undefined {
  const all = new Map(
    tables.map((table): [string, TableOnTarget] => {
      const columns = Object.entries(table.columns);
      const missing = columns.filter(([, { spec }]) => !isPresentAt(spec, version));
      const present = columns.filter(([, { spec }]) => isPresentAt(spec, version)).map(([name]) => name);
      const exists = isPresentAt(table, version);
      return [table.name, { exists, present: new Set(present), missing: new Map(missing) }];
    }),
  );
  const lacking = [...all.values()].some(({ exists, missing }) => !exists || missing.size > 0);
  return lacking ? all : undefined;
}

const known = new Map<number, TablesOnTarget | undefined>();

/** The same for the tenant tables, cached. */
export function missingAtVersion(version: number): TablesOnTarget | undefined {
  if (!known.has(version)) known.set(version, tablesOnTarget(tenantTables, version));
  return known.get(version);
}
