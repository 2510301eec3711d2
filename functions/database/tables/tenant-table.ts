import type { Column, DroppedColumn } from './column.ts';

// biome-ignore lint/suspicious/noExplicitAny: any column, whatever its value type.
export type AnyColumn = Column<any, any, boolean, boolean>;
export type Columns = Record<string, AnyColumn>;

export interface ForeignKey<Name extends string = string> {
  readonly column: Name;
  /** The referenced table; its primary key is one column. */
  readonly references: string;
  /** Absent: a delete is refused while rows refer to it. */
  readonly onDelete?: 'cascade' | 'set null';
}

export interface Index<Name extends string = string> {
  /** Becomes `idx_<table>_<name>`, in the shared variant `idx_<table>_tenant_<name>`. */
  readonly name: string;
  readonly columns: readonly Name[];
  /** On the texts in lower case, for statements that compare `lower(column)`. */
  readonly lower?: boolean;
  /** No two rows of the index are equal in its columns. Rows with a null in one of them are never equal. */
  readonly unique?: true;
  /** The rows that the index contains; all when absent. */
  readonly where?: IndexedRows<Name>;
  /** The schema version that introduced it; 1 when absent. */
  readonly since?: number;
  /** The schema version that drops it; absent: never dropped. */
  readonly until?: number;
}

/**
 * Rows of a partial index. `otherwise` is a value of the column that takes a row out of the index: during a move it
 * stands in for the value of a row that another row is about to replace in a unique index.
 */
export type IndexedRows<Name extends string = string> =
  | { readonly column: Name; readonly is: 'NULL' | 'NOT NULL' }
  | { readonly column: Name; readonly equals: string; readonly otherwise: string };

/** A rule that each row of a table satisfies. */
export interface RowRule {
  /** Becomes `<table>_<name>_check`. */
  readonly name: string;
  /** A SQL condition over the table's columns, never a value from outside. */
  readonly rule: string;
  /** The schema version that introduced it; 1 when absent. That version's migration first repairs rows that break it. */
  readonly since?: number;
  /** The schema version that drops it; absent: never dropped. */
  readonly until?: number;
}

/** How the shared variant of a table is partitioned; an isolated one never is. */
export type SharedPartitioning<Name extends string = string> =
  | { readonly by: 'tenant'; readonly partitions: number }
  | { readonly by: 'month'; readonly column: Name };

interface Constraints<Name extends string> {
  readonly primaryKey: readonly Name[];
  readonly unique: readonly (readonly Name[])[];
  readonly foreignKeys: readonly ForeignKey<Name>[];
  readonly indexes: readonly Index<Name>[];
  readonly rules: readonly RowRule[];
  readonly sharedPartitioning?: SharedPartitioning<Name>;
  /** What request roles may do with its rows; `full` when absent. `append`: read and insert. */
  readonly requests?: 'full' | 'append' | 'read' | 'none';
  /** The schema version that introduced the table; 1 when absent. */
  readonly since?: number;
  /** The schema version that drops the table; absent: never dropped. */
  readonly until?: number;
}

export interface TenantTable<C extends Columns = Columns> extends Constraints<string> {
  readonly name: string;
  readonly columns: C;
}

/** The query builder's type of a table's rows. It leaves out the shared variant's `tenant_id`, which has a default. */
export type RowOf<Table extends TenantTable> = {
  [Name in keyof Table['columns'] as Table['columns'][Name] extends DroppedColumn
    ? never
    : Name]: Table['columns'][Name]['kysely'];
};

type ConstraintsOver<Name extends string> = Pick<Constraints<Name>, 'primaryKey'> &
  Partial<Constraints<Name>>;

export function tenantTable<const C extends Columns>(
  name: string,
  columns: C,
  constraints: ConstraintsOver<keyof NoInfer<C> & string>,
): TenantTable<C> {
  return { name, columns, unique: [], foreignKeys: [], indexes: [], rules: [], ...constraints };
}

/** The schema version that introduces something, and the one that drops it. */
interface Lifetime {
  readonly since?: number | undefined;
  readonly until?: number | undefined;
}

/** True when targets of that schema version have it. */
export function isPresentAt(
  { since = 1, until = Number.POSITIVE_INFINITY }: Lifetime,
  version: number,
): boolean {
  return since <= version && version < until;
}

/** The table as targets of schema version `version` have it, or undefined when they do not have it. */
export function tableAtVersion(table: TenantTable, version: number): TenantTable | undefined {
  if (!isPresentAt(table, version)) return undefined;
  const columns = Object.fromEntries(
    Object.entries(table.columns).filter(([, { spec }]) => isPresentAt(spec, version)),
  );
  const have = (names: readonly string[]) => names.every((name) => name in columns);
  return {
    ...table,
    columns,
    unique: table.unique.filter(have),
    foreignKeys: table.foreignKeys.filter(({ column }) => column in columns),
    indexes: table.indexes.filter((index) => isPresentAt(index, version) && have(index.columns)),
    rules: table.rules.filter((rule) => isPresentAt(rule, version)),
  };
}
