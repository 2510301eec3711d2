import * as z from 'zod/mini';
import { isEmailAddress } from '../resources/email-address.ts';
import { DEFAULT_LIMIT, MAX_LIMIT } from '../resources/keyset-page.ts';
import { hasDecimals } from './json-body.ts';

/**
 * A string of 1 to `max` characters, counted as PostgreSQL counts them. As of each refinement whose rule JSON Schema can
 * express, `params` is that rule: the API's document has it.
 */
export function requiredText(max: number) {
  return z
    .string('must be a string')
    .check(
      z.refine((text) => text.trim() !== '', {
        error: 'must not be blank',
        params: { minLength: 1, pattern: '\\S' },
      }),
    )
    .check(
      z.refine((text) => text.length <= max || [...text].length <= max, {
        error: `must be at most ${max} characters`,
        params: { maxLength: max },
      }),
    );
}

/** The same, without control characters, line breaks or characters that Unicode has not assigned. */
export function printableText(max: number) {
  return requiredText(max).check(
    z.refine((text) => !/[\p{C}\p{Zl}\p{Zp}]/u.test(text), {
      error: 'must have printable characters only',
      params: { pattern: '^(?=.*\\S)[^\\p{C}\\p{Zl}\\p{Zp}]*$' },
    }),
  );
}

/** A number from 0 to `max` with at most two decimals. */
export function decimal(max: number) {
  return z.number('must be a number').check(
    z.gte(0, 'must not be negative'),
    z.lte(max, `must be at most ${max}`),
    z.refine((value) => hasDecimals(value, 2), 'must have at most two decimals'),
  );
}

/** `requiredText`, or null. */
export function optionalText(max: number) {
  return z.nullish(requiredText(max));
}

export const uuid = z.pipe(
  z
    .string('must be a UUID')
    .check(z.regex(/^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i, 'must be a UUID')),
  z.transform((text) => text.toLowerCase()),
);

/** A day of the calendar, `YYYY-MM-DD`. There is no year 0 in PostgreSQL's calendar. */
export const day = z
  .string('must be a string')
  .check(z.iso.date('must be a date, YYYY-MM-DD'))
  .check(z.refine((text) => !text.startsWith('0000'), 'must not be before the year 1'));

const LONGEST_OFFSET = 16 * 60;

/**
 * An RFC 3339 instant with its offset that PostgreSQL stores without loss: an offset below 16 hours, at most six
 * decimals of a second, and a year from 1 to 9999, in UTC too.
 */
export const instant = z
  .string('must be a string')
  .check(
    z.iso.datetime({
      offset: true,
      error: 'must be a time of RFC 3339, such as 2026-01-31T09:00:00Z',
      abort: true,
    }),
  )
  .check(
    z.refine((text) => Math.abs(offsetOf(text)) < LONGEST_OFFSET, {
      error: 'must have an offset below 16 hours',
      abort: true,
    }),
    z.refine((text) => !/\.\d{6}\d*[1-9]/.test(text), 'must have at most six decimals of a second'),
    z.refine(isInYears1To9999, 'must be in the years 1 to 9999 of UTC'),
  );

/** Minutes east of UTC. */
function offsetOf(instantText: string): number {
  const [, sign, hours, minutes] = /([+-])(\d\d):(\d\d)$/.exec(instantText) ?? [];
  return (sign === '-' ? -1 : 1) * (Number(hours ?? 0) * 60 + Number(minutes ?? 0));
}

function isInYears1To9999(instantText: string): boolean {
  const year = new Date(instantText).getUTCFullYear();
  return year >= 1 && year <= 9999;
}

/** An e-mail address of at most 255 characters, in lower case. */
export const email = z.pipe(
  z.string('must be a string').check(z.refine(isEmailAddress, 'must be an e-mail address')),
  z.transform((text) => text.toLowerCase()),
);

/** A JSON object of any shape. */
export const document = z.record(z.string(), z.unknown(), 'must be an object');

/** A boolean as a query parameter. */
export const flag = z.pipe(
  z.enum(['true', 'false'], 'must be true or false'),
  z.transform((text) => text === 'true'),
);

const LIMIT_RULE = `must be a number from 1 to ${MAX_LIMIT}`;

/** A cursor contains a value of the column that a list is sorted by: up to 255 characters, each escaped. */
const MAX_CURSOR = 4_096;

/** `?limit=` and `?cursor=`. A limit that is out of range is refused, never clamped. */
export const pageParameters = {
  limit: z.optional(
    z.pipe(
      z.string().check(z.refine((text) => /^[1-9]\d*$/.test(text) && Number(text) <= MAX_LIMIT, LIMIT_RULE)),
      z.transform(Number),
    ),
  ),
  cursor: z.optional(
    z.string().check(z.minLength(1, 'must not be empty'), z.maxLength(MAX_CURSOR, 'is not a cursor')),
  ),
};

/** `?q=`: any text, searched for literally. */
export const searchText = z.optional(
  z.string().check(z.minLength(1, 'must not be empty'), z.maxLength(255, 'must be at most 255 characters')),
);

export function pageOf(query: { limit?: number | undefined; cursor?: string | undefined }) {
  return { limit: query.limit ?? DEFAULT_LIMIT, cursor: query.cursor };
}
