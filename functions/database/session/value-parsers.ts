import pg from 'pg';

const { builtins } = pg.types;

/**
 * How column values reach the application: as they stand in a JSON answer.
 * timestamptz → RFC 3339 UTC with microseconds (a keyset cursor must not lose digits), date → `YYYY-MM-DD`,
 * numeric and int8 → number (no column of ours exceeds 2^53).
 */
const parsers = new Map<number, (text: string) => unknown>([
  [builtins.TIMESTAMPTZ, timestampToRfc3339],
  [builtins.DATE, (text) => text],
  [builtins.NUMERIC, Number],
  [builtins.INT8, Number],
]);

export const valueParsers: pg.CustomTypesConfig = {
  getTypeParser: ((oid: number, format?: 'text' | 'binary') =>
    (format !== 'binary' && parsers.get(oid)) ||
    pg.types.getTypeParser(oid, format)) as pg.CustomTypesConfig['getTypeParser'],
};

function timestampToRfc3339(text: string): string {
  // A server in UTC, as every cluster of ours is, prints "2026-01-02 03:04:05.678901+00".
  if (text.endsWith('+00')) return `${text.slice(0, 10)}T${text.slice(11, -3)}Z`;
  return new Date(text).toISOString();
}
