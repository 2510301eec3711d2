import type { ColumnType } from 'kysely';

export type JsonValue = string | number | boolean | null | JsonValue[] | { [key: string]: JsonValue };

/** What the DDL of a column needs. */
export interface ColumnSpec {
  /** PostgreSQL's name of the type. */
  readonly type: string;
  readonly nullable: boolean;
  /** A SQL expression, never a value from outside. */
  readonly defaultSql?: string;
  readonly allowedValues?: readonly string[];
  /** The schema version that introduced the column; 1 when absent. */
  readonly since?: number;
  /** The schema version that drops the column; absent: never dropped. */
  readonly until?: number;
  /** Clients never write the column. */
  readonly platformOnly?: boolean;
  /** Names a person: a masked clone of a tenant has something else there. */
  readonly personal?: PersonalData;
}

export type PersonalData = 'name' | 'email';

/**
 * A column of a tenant table: its DDL, and at the type level what is selected and what may be inserted. Immutable: each
 * method returns a new column.
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

  /** @param defaultSql a constant SQL expression: it becomes part of the DDL unchanged. */
  default(defaultSql: string): Column<Selected, Accepted, Nullable, true> {
    return new Column({ ...this.spec, defaultSql });
  }

  /** Only these values, enforced by a CHECK. */
  oneOf<const Value extends string>(
    ...allowedValues: Value[]
  ): Column<Value, NoInfer<Value>, Nullable, HasDefault> {
    return new Column({ ...this.spec, allowedValues });
  }

  /** Marks a column that a later migration adds to existing tables. */
  since(version: number): Column<Selected, Accepted, Nullable, HasDefault> {
    return new Column({ ...this.spec, since: version });
  }

  /**
   * Marks a column that only the platform writes. A statement omits it when the target lacks the column; a client's
   * value for another missing column is refused (503).
   */
  platformOnly(): Column<Selected, Accepted, Nullable, HasDefault> {
    return new Column({ ...this.spec, platformOnly: true });
  }

  /** Marks a column that names a person. A masked clone has no such names; encrypted columns (`bytea`) it has none of anyway. */
  personal(personal: PersonalData): Column<Selected, Accepted, Nullable, HasDefault> {
    return new Column({ ...this.spec, personal });
  }

  /** Marks a column that the migration of `version` drops. From now on no statement may name it: it has no row type. */
  until(version: number): DroppedColumn {
    return new DroppedColumn({ ...this.spec, until: version });
  }
}

/** A column that targets of earlier versions still have and no statement uses any more. */
export class DroppedColumn extends Column<never, never, boolean, boolean> {
  /** Types only: distinguishes a dropped column from others. */
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

/** The application sets it in each UPDATE, because a trigger would also cost time for every row of a copy. */
export const updatedAt = () => timestamptz().notNull().default('now()');
