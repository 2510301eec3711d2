import { Column } from '../database/tables/column.ts';

/**
 * Columns of the registry's tables. Selected values have the Data API's types, which differ from those of
 * node-postgres: JSON is text, a time has no zone, a numeric is text.
 */

declare const TIME: unique symbol;
declare const JSON_OF: unique symbol;

/** A `timestamptz` as the Data API returns it, without its zone. Select `rfc3339(…)` instead. */
export interface TimeWithoutZone {
  readonly [TIME]: true;
}

/** JSON text of a value, as the Data API returns `jsonb`; `parseJson` reads it. */
export type JsonText<Value> = string & { readonly [JSON_OF]: Value };

/** @throws {SyntaxError} never for a column's value. */
export function parseJson<Value>(text: JsonText<Value>): Value {
  return JSON.parse(text) as Value;
}

type Nullable<Selected, Accepted = Selected> = Column<Selected, Accepted, true, false>;

function column<Selected, Accepted = Selected>(type: string): Nullable<Selected, Accepted> {
  return new Column({ type, nullable: true });
}

export const uuid = () => column<string>('uuid');
/** @typeParam Value the values that our code writes, when no CHECK enumerates them. */
export const text = <Value extends string = string>() => column<Value>('text');
/** @param length in characters. */
export const varchar = (length: number) => column<string>(`character varying(${length})`);
export const integer = () => column<number>('integer');
/** Values below 2^53. */
export const bigint = () => column<number>('bigint');
export const double = () => column<number>('double precision');
/** Selected as decimal text; select `asNumber(…)` where 15 digits are enough. */
export const numeric = (precision: number, scale: number) =>
  column<string, number | string>(`numeric(${precision},${scale})`);
export const boolean = () => column<boolean>('boolean');
/** Accepts a Date or RFC 3339 text. */
export const timestamptz = () =>
  column<TimeWithoutZone, string | Date | TimeWithoutZone>('timestamp with time zone');
/** `YYYY-MM-DD`. */
export const date = () => column<string>('date');
/** Accepts the value itself, or its JSON text. */
export const jsonb = <Value extends object>() => column<JsonText<Value>, Value | JsonText<Value>>('jsonb');
export const inet = () => column<string>('inet');
