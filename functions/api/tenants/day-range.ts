import * as z from 'zod/mini';
import { day } from '../../http/input-schemas.ts';
import { invalidInput } from '../../http/problem.ts';

/** Days of the longest range. */
const LONGEST_RANGE = 400;

/** Query parameters of a range of days, both ends included. */
export const rangeParameters = { from: z.optional(day), to: z.optional(day) };

/**
 * The given days; undefined when none are given.
 * @throws {Problem} 400 for one end only, a range that ends before it begins, or one of more than 400 days.
 */
export function givenDays({
  from,
  to,
}: {
  from?: string | undefined;
  to?: string | undefined;
}): { from: string; to: string } | undefined {
  if (from === undefined && to === undefined) return undefined;
  if (from === undefined) throw invalidInput([{ parameter: 'from', detail: 'is required with to' }]);
  if (to === undefined) throw invalidInput([{ parameter: 'to', detail: 'is required with from' }]);
  if (to < from) throw invalidInput([{ parameter: 'to', detail: 'must not be before from' }]);
  if ((Date.parse(to) - Date.parse(from)) / 86_400_000 >= LONGEST_RANGE) {
    throw invalidInput([{ parameter: 'to', detail: `must be within ${LONGEST_RANGE} days from from` }]);
  }
  return { from, to };
}
