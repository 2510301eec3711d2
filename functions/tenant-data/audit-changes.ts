/**
 * What a change has done to a row, for its audit entry (`audit_log.changes`): `{ before, after }`, two objects of the
 * fields that differ, by their names in JSON. A creation has only `after`, a deletion only `before`.
 *
 * The database computes it, in the statement of the change: an update first locks the row and reads its old values (the
 * part `before` of the statement), because PostgreSQL 17 has no OLD in RETURNING. A concurrent update of the row waits
 * for that lock, and then reads what the first one has written.
 *
 * Never in it: values of fields that the API does not show, and of fields that are secret or encrypted. They are `***`,
 * or null where there is none. When both objects together are larger than 16 KB, there are SHA-256 hashes of the values
 * instead: `{ beforeSha256, afterSha256 }`.
 */
import { type OperationNodeSource, type RawBuilder, sql } from 'kysely';
import { toCamelCase } from '../resources/field-names.ts';
import { anyTable, type Resource, type Values } from './resource.ts';

/** Names of fields and columns that are secret wherever they appear. */
const SECRET_NAMES = new Set(['ssn', 'salary', 'password']);
const ENCRYPTED = '_encrypted';
/** Stands for a value that must not be read. */
export const REDACTED = '***';

/** True for a column or a field whose value never appears in the log: `ssn`, `salary`, `ssn_encrypted`, … */
export function isSecret(name: string): boolean {
  return SECRET_NAMES.has(name) || name.endsWith(ENCRYPTED) || name.endsWith('Encrypted');
}

/** Columns that change with every write; the entry has its own time. */
const UNRECORDED = new Set(['created_at', 'updated_at']);
/** Of both objects as text, in bytes. */
const MAX_RECORDED_BYTES = 16_384;

/** The parts of an audited statement that record the change. */
export interface RecordedChange {
  /** The part `before`: one row, with the old values. Only updates have it. */
  readonly before?: OperationNodeSource;
  /** An expression over `changed` and `before`: the entry's `changes`. */
  readonly changes: RawBuilder<unknown>;
}

/** All fields of the new row that are not null. */
export function recordCreate(resource: Resource, values: Values): RecordedChange {
  const after = fieldsOfRow(resource, columnsOf(resource, values), { of: 'changed', given: values });
  return { changes: changesOf({ after: withoutNulls(after) }) };
}

/** All fields of the old row that are not null. */
export function recordDelete(resource: Resource): RecordedChange {
  const before = fieldsOfRow(resource, columnsOf(resource, {}), { of: 'changed' });
  return { changes: changesOf({ before: withoutNulls(before) }) };
}

/** The old row's name of its values, as one JSON object. */
const OLD = 'before_fields';

/** The fields that the update sets and that differ. The update must take its rows `FROM before`. */
export function recordUpdate(resource: Resource, key: Values, values: Values): RecordedChange {
  const columns = Object.keys(values).filter((column) => !UNRECORDED.has(column));
  const redacted = columns.filter((column) => !isShown(resource, column)).map(fieldOf);
  const before = anyTable
    .selectFrom(resource.table)
    .select(fieldsOfRow(resource, columns, {}).as(OLD))
    .where((where) => where.and(key))
    .forUpdate();
  const after = fieldsOfRow(resource, columns, { of: 'changed', given: values });
  const differing = sql`SELECT coalesce(jsonb_object_agg(b.key, b.value), '{}') AS before,
      coalesce(jsonb_object_agg(b.key, a.value), '{}') AS after
    FROM jsonb_each(before.${sql.id(OLD)}) AS b JOIN jsonb_each(${after}) AS a ON a.key = b.key
    WHERE a.value <> b.value OR b.key = ANY (${redacted}::text[])`;
  return {
    before,
    changes: sql`(SELECT ${changesOf({ before: sql`f.before`, after: sql`f.after` })} FROM (${differing}) AS f)`,
  };
}

/** Fields that the caller has compared itself, by their names in JSON; none of them is secret. */
export function recordFields(before: object | undefined, after: object): RecordedChange {
  const given = before === undefined ? { after } : { before, after };
  const objects = Object.entries(given).map(([name, fields]) => [
    name,
    sql`${JSON.stringify(fields)}::jsonb`,
  ]);
  return { changes: changesOf(Object.fromEntries(objects)) };
}

/** The columns of the answer, and others that are written: those are redacted. */
function columnsOf(resource: Resource, values: Values): string[] {
  return [...new Set([...resource.columns, ...Object.keys(values)])].filter(
    (column) => !UNRECORDED.has(column),
  );
}

const isShown = (resource: Resource, column: string) =>
  resource.columns.includes(column) && !isSecret(column);

/** `ssn_encrypted` holds the field `ssn`. */
const fieldOf = (column: string) =>
  toCamelCase(column.endsWith(ENCRYPTED) ? column.slice(0, -ENCRYPTED.length) : column);

/**
 * A row's fields as a JSON object.
 * @param of the part of the statement that has the row; the table itself when absent.
 * @param given new values: of a redacted column only these tell whether there is a value.
 */
function fieldsOfRow(
  resource: Resource,
  columns: readonly string[],
  { of, given }: { readonly of?: string; readonly given?: Values },
): RawBuilder<unknown> {
  const fields = columns.flatMap((column) => {
    const reference = sql.ref(of === undefined ? column : `${of}.${column}`);
    if (isShown(resource, column)) return [sql`${sql.lit(fieldOf(column))}, ${reference}`];
    if (of === undefined) {
      const mark = sql`CASE WHEN ${reference} IS NOT NULL THEN ${sql.lit(REDACTED)} END`;
      return [sql`${sql.lit(fieldOf(column))}, ${mark}`];
    }
    if (given?.[column] === undefined) return [];
    const mark = given[column] === null ? sql`NULL` : sql.lit(REDACTED);
    return [sql`${sql.lit(fieldOf(column))}, ${mark}`];
  });
  return sql`jsonb_build_object(${sql.join(fields)})`;
}

function withoutNulls(fields: RawBuilder<unknown>): RawBuilder<unknown> {
  return sql`(SELECT coalesce(jsonb_object_agg(key, value), '{}') FROM jsonb_each(${fields}) WHERE value <> 'null')`;
}

/** The objects, or the hashes of their values when they are too large together. */
function changesOf(objects: Readonly<Record<string, RawBuilder<unknown>>>): RawBuilder<unknown> {
  const names = Object.keys(objects);
  const column = (name: string) => sql`o.${sql.id(name)}`;
  const size = names.map((name) => sql`octet_length(${column(name)}::text)`);
  const plain = names.map((name) => sql`${sql.lit(name)}, ${column(name)}`);
  const hashed = names.map(
    (name) => sql`${sql.lit(`${name}Sha256`)}, (
      SELECT jsonb_object_agg(key, encode(sha256(convert_to(value::text, 'UTF8')), 'hex')) FROM jsonb_each(${column(name)}))`,
  );
  const selected = names.map((name) => sql`${objects[name]} AS ${sql.id(name)}`);
  return sql`(SELECT CASE WHEN ${sql.join(size, sql` + `)} <= ${sql.lit(MAX_RECORDED_BYTES)}
      THEN jsonb_build_object(${sql.join(plain)}) ELSE jsonb_build_object(${sql.join(hashed)}) END
    FROM (SELECT ${sql.join(selected)}) AS o)`;
}
