import pg from 'pg';

const { builtins } = pg.types;

/**
 * Converts column values into their JSON form: timestamptz → RFC 3339 UTC with microseconds (a keyset cursor must not
 * lose digits), date → `YYYY-MM-DD`, numeric and int8 → number (no column of ours exceeds 2^53). Every parser accepts
 * every value: one row with an unusual value must not break a list.
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

const TIMESTAMP =
  /^(\d{4,6})-(\d\d)-(\d\d) (\d\d):(\d\d):(\d\d)(\.\d{1,6})?([+-])(\d\d)(?::(\d\d))?(?::(\d\d))?( BC)?$/;

function timestampToRfc3339(text: string): string {
  // A server in UTC, as every cluster of ours is, prints "2026-01-02 03:04:05.678901+00".
  if (text.endsWith('+00') && text[4] === '-') return `${text.slice(0, 10)}T${text.slice(11, -3)}Z`;
  const match = TIMESTAMP.exec(text);
  // "infinity" has no other form.
  if (!match) return text;
  const [, years, month, day, hour, minute, second, fraction = '', sign, ...rest] = match;
  const [hours, minutes = 0, seconds = 0, era] = rest;
  const offset = (sign === '-' ? -1 : 1) * (Number(hours) * 3600 + Number(minutes) * 60 + Number(seconds));
  const time = new Date(0);
  // PostgreSQL's 1 BC is the year 0 of ISO 8601.
  time.setUTCFullYear(era ? 1 - Number(years) : Number(years), Number(month) - 1, Number(day));
  time.setUTCHours(Number(hour), Number(minute), Number(second) - offset);
  // PostgreSQL supports later years than JavaScript.
  if (Number.isNaN(time.getTime())) return text;
  // A year outside 0 to 9999 gets the sign and the six digits of ISO 8601's expanded form.
  return `${time.toISOString().slice(0, -5)}${fraction}Z`;
}
