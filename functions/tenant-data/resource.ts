import type { ExpressionBuilder, QueryCreator } from 'kysely';
import { tenantSql } from '../database/session/tenant-sql.ts';
import type { TenantTables } from '../database/tables/tenant-tables.ts';
import type { SortColumn } from '../resources/list-order.ts';

export type TableName = keyof TenantTables & string;
export type ColumnName<Table extends TableName> = keyof TenantTables[Table] & string;

/** What the generic statements need to know about a table that the API shows as a resource. */
export interface Resource<Table extends string = string, Column extends string = string> {
  readonly table: Table;
  /** `audit_log.resource_type`. */
  readonly type: string;
  /**
   * The columns that a client sees, in the order of the answer. A column that is not listed never leaves the database.
   */
  readonly columns: readonly Column[];
  /** The primary key; the last column is the item's id; the columns before it come from the parent's path. */
  readonly key: readonly Column[];
  /** The order of listings: a timestamp, and the id that breaks ties. */
  readonly order: readonly [Column, Column];
  /** Other columns that a list can be sorted by. An index ends with each of them and the id. */
  readonly sorts?: readonly SortColumn<Column>[];
  /** Columns that `?q=` searches. */
  readonly searched: readonly Column[];
  /** jsonb columns: an object in a patch is merged into the stored value (RFC 7396). */
  readonly documents: readonly Column[];
  /** Columns whose new values come in lower case, and which are compared by `lower()`: older values may be mixed. */
  readonly caseless?: readonly Column[];
  readonly hasUpdatedAt: boolean;
  /** The column that refers to the same table. A row must not become its own ancestor. */
  readonly hierarchy?: Column;
  /** Fields that are stored encrypted; not among `columns`. Only administrators of the tenant see and write them. */
  readonly sealed?: readonly SealedField<Column>[];
  /** The table that the first key column refers to. Items are listed only when its row exists. */
  readonly parentTable?: TableName;
  /** What a client is told when a unique rule refuses a row that no single column of it explains. */
  readonly conflict?: string;
}

/** The columns that a resource's list can be sorted by. The first one is the default. */
export function sortColumns({ order: [time], sorts = [] }: Resource): readonly SortColumn[] {
  return [{ column: time, type: 'time' }, ...sorts];
}

/** A field of the API whose column has the encrypted value. */
export interface SealedField<Column extends string = string> {
  /** Its name in JSON. */
  readonly field: string;
  readonly column: Column;
  /** `decimal`: a number with two decimals. */
  readonly type: 'text' | 'decimal';
}

/** Checks a definition's names against the table's type. */
export function resource<Table extends TableName>(definition: Resource<Table, ColumnName<Table>>): Resource {
  return definition;
}

/** Values by column name. */
export type Values = Readonly<Record<string, unknown>>;

/**
 * The builder without table types, for statements that serve every resource. Identifiers still come from `Resource`
 * constants only, and values only as parameters.
 */
// biome-ignore lint/suspicious/noExplicitAny: one builder for any table.
export const anyTable = tenantSql as unknown as QueryCreator<any>;
// biome-ignore lint/suspicious/noExplicitAny: see anyTable.
export type AnyExpressions = ExpressionBuilder<any, any>;
