import type { ColumnType } from 'kysely';

export type JsonValue = string | number | boolean | null | JsonValue[] | { [key: string]: JsonValue };

/** What the DDL of a column needs to know. */
export interface ColumnSpec {
  /** PostgreSQL's name of the type. */
  readonly type: string;
  readonly nullable: boolean;
  /** A SQL expression, never a value from outside. */
  readonly defaultSql?: string;
  readonly allowedValues?: readonly string[];
  /** The schema version that introduced the column; 1 when absent. */
  readonly since?: number;
  /** The schema version that drops the column; absent: none does. */
  readonly until?: number;
  /** Clients never write the column. */
  readonly platformOnly?: boolean;
}

/**
 * A column of a tenant table: its DDL, and at the type level what is selected and what may be inserted.
 * Immutable: each method answers a new column.
 */
export class Column<Selected, Accepted, Nullable extends boolean, HasDefault extends boolean> {
  /** Types only; no value exists at run time. */
  declare readonly kysely: ColumnType<
    OrNull<Selected, Nullable>,
    Nullable extends true
      ? OrNull<Accepted, Nullable> | undefined
      : HasDefault extends true
        ? Accepted | undefined
        : Accepted,
    OrNull<Accepted, Nullable>
  >;
  readonly spec: ColumnSpec;

  constructor(spec: ColumnSpec) {
    this.spec = spec;
  }

  notNull(): Column<Selected, Accepted, false, HasDefault> {
    return new Column({ ...this.spec, nullable: false });
  }

  /** @param defaultSql a constant SQL expression: it becomes part of the DDL as it stands. */
  default(defaultSql: string): Column<Selected, Accepted, Nullable, true> {
    return new Column({ ...this.spec, defaultSql });
  }

  /** Only these values, enforced by a CHECK. */
  oneOf<const Value extends string>(
    ...allowedValues: Value[]
  ): Column<Value, NoInfer<Value>, Nullable, HasDefault> {
    return new Column({ ...this.spec, allowedValues });
  }

  /** Marks a column that a later migration adds to tables which exist already. */
  since(version: number): Column<Selected, Accepted, Nullable, HasDefault> {
    return new Column({ ...this.spec, since: version });
  }

  /**
   * Marks a column that only the platform writes. A statement leaves it out where the target lacks the column; a value of
   * a client's is refused there instead (503).
   */
  platformOnly(): Column<Selected, Accepted, Nullable, HasDefault> {
    return new Column({ ...this.spec, platformOnly: true });
  }

  /** Marks a column that the migration of `version` drops. From now on no statement may name it: it has no row type. */
  until(version: number): DroppedColumn {
    return new DroppedColumn({ ...this.spec, until: version });
  }
}

/** A column that is still there on targets of earlier versions, and that no statement uses any more. */
export class DroppedColumn extends Column<never, never, boolean, boolean> {
  /** Types only: tells a dropped column from others. */
  declare readonly dropped: true;
}

type OrNull<Value, Nullable extends boolean> = Nullable extends true ? Value | null : Value;
type Nullable<Selected, Accepted = Selected> = Column<Selected, Accepted, true, false>;

function column<Selected, Accepted = Selected>(type: string): Nullable<Selected, Accepted> {
  return new Column({ type, nullable: true });
}

export const uuid = () => column<string>('uuid');
export const text = () => column<string>('text');
/** @param length in characters. */
export const varchar = (length: number) => column<string>(`character varying(${length})`);
export const integer = () => column<number>('integer');
/** Reaches the application as a number: keep `precision` at 15 digits or fewer. */
export const numeric = (precision: number, scale: number) => column<number>(`numeric(${precision},${scale})`);
export const boolean = () => column<boolean>('boolean');
/** Selected as RFC 3339 UTC text. */
export const timestamptz = () => column<string, string | Date>('timestamp with time zone');
/** Selected and accepted as `YYYY-MM-DD`. */
export const date = () => column<string>('date');
/** Pass arrays and strings as JSON text: the driver would turn an array into a PostgreSQL array. */
export const jsonb = () => column<JsonValue>('jsonb');
export const bytea = () => column<Buffer>('bytea');
export const inet = () => column<string>('inet');

export const newId = () => uuid().notNull().default('gen_random_uuid()');

export const createdAt = () => timestamptz().notNull().default('now()');

/** The application sets it in each UPDATE: a trigger would cost every row of a copy too. */
export const updatedAt = () => timestamptz().notNull().default('now()');
