import { type Expression, ExpressionWrapper, type RawBuilder, sql, ValueNode } from 'kysely';
import { IN_USE, type TenantStatus, WITH_DATA } from '../contracts/tenant.ts';
import type { JsonText, TimeWithoutZone } from './registry-column.ts';
import type { ColumnValueNode } from './registry-compiler.ts';
import { columnTypeOf, type RegistryColumnName, type RegistryTables } from './registry-tables.ts';

type ColumnOf<Name extends RegistryColumnName> = Name extends `${infer Table}.${infer Column}`
  ? Table extends keyof RegistryTables
    ? Column extends keyof RegistryTables[Table]
      ? RegistryTables[Table][Column]
      : never
    : never
  : never;
type SelectedBy<Column> = Column extends { readonly __select__: infer Selected } ? Selected : Column;
type AcceptedBy<Column> = Column extends { readonly __update__: infer Accepted } ? Accepted : Column;

/** A value without a column beside it, such as an argument of a function, cast to that column's type. */
export function columnValue<Name extends RegistryColumnName>(
  name: Name,
  value: AcceptedBy<ColumnOf<Name>>,
): ExpressionWrapper<RegistryTables, never, SelectedBy<ColumnOf<Name>>> {
  const [table = '', column = ''] = name.split('.');
  const node: ColumnValueNode = { ...ValueNode.create(value), columnType: columnTypeOf(table, column) };
  return new ExpressionWrapper(node);
}

/**
 * RFC 3339 text, UTC. The Data API returns a time without its zone.
 * @param digits of the second: `US` microseconds, which a keyset cursor needs; `MS` milliseconds.
 */
export function rfc3339<Time extends TimeWithoutZone | null>(
  time: Expression<Time>,
  digits: 'US' | 'MS' = 'US',
): RawBuilder<null extends Time ? string | null : string> {
  return sql`to_char(${time} at time zone 'UTC', ${sql.lit(`YYYY-MM-DD"T"HH24:MI:SS.${digits}"Z"`)})`;
}

/** A numeric as a number of at most 15 digits. */
export function asNumber<Decimal extends string | null>(
  decimal: Expression<Decimal>,
): RawBuilder<null extends Decimal ? number | null : number> {
  return sql`cast(${decimal} as double precision)`;
}

/** As text: for JSON whose size is measured as the Data API sends it, and for an id that is compared with text. */
export function asText<Text extends string | null>(value: Expression<Text>): RawBuilder<Text> {
  return sql`cast(${value} as text)`;
}

const isOneOf = (statuses: readonly TenantStatus[]) =>
  sql<boolean>`t.status in (${sql.join(statuses.map((status) => sql.lit(status)))})`;

/** Whether the row `t` of `tenants` has its data here and keeps it. */
export const isInUse = isOneOf(IN_USE);

/** Whether the row `t` of `tenants` has its data here. */
export const hasData = isOneOf(WITH_DATA);

/** The transaction's start, by the registry's clock. */
export const now: RawBuilder<TimeWithoutZone> = sql`now()`;

/** Seconds from a time until now, by the registry's clock. */
export function secondsSince(time: Expression<TimeWithoutZone>): RawBuilder<number> {
  return sql`cast(extract(epoch from now() - ${time}) as double precision)`;
}

/** The latest of a column's times; null where there is no row. */
export function latest(time: Expression<TimeWithoutZone>): RawBuilder<TimeWithoutZone | null> {
  return sql`max(${time})`;
}

/** A list of any length as a set of rows with one text each, because the Data API takes no arrays. */
export function textList(items: readonly string[]): RawBuilder<string> {
  return sql`jsonb_array_elements_text(${jsonValue(items)})`;
}

/** A value as `jsonb`, when no column is beside it. */
export function jsonValue<Value extends object>(value: Value): RawBuilder<JsonText<Value>> {
  return sql`cast(${JSON.stringify(value)} as jsonb)`;
}
