import * as z from 'zod/mini';
import { requiredText, uuid } from '../../http/input-schemas.ts';
import { hasDecimals } from '../../http/json-body.ts';
import type { Question } from '../../tenant-data/assessment-questions.ts';

const optionValue = z.union([requiredText(255), z.number()], 'must be text or a number');
const option = z.strictObject({
  value: optionValue,
  score: z.number('must be a number').check(z.gte(0), z.lte(1_000_000)),
});
const question = z.strictObject({
  id: requiredText(100),
  skillId: z.optional(uuid),
  kind: z.enum(['scale', 'choice', 'text']),
  prompt: requiredText(2_000),
  options: z.optional(
    z.array(option, 'must be a list').check(
      z.maxLength(100, 'must have at most 100 entries'),
      z.refine(
        (options) => new Set(options.map(({ value }) => value)).size === options.length,
        'must not have a value twice',
      ),
      z.refine(
        (options) => options.some(({ score }) => score > 0),
        'must have an option with a score above 0',
      ),
    ),
  ),
  weight: z.optional(z.number('must be a number').check(z.gt(0), z.lte(1_000))),
});

/** The questions of an assessment. */
export const questions = z
  .array(
    question.check(
      z.refine(({ kind, options }) => kind !== 'choice' || options !== undefined, {
        error: 'is required for a choice',
        path: ['options'],
      }),
      z.refine(({ kind, options }) => kind !== 'text' || options === undefined, {
        error: 'must be absent for a text',
        path: ['options'],
      }),
    ),
    'must be a list',
  )
  .check(
    z.maxLength(500, 'must have at most 500 entries'),
    z.refine((list: readonly Question[]) => new Set(list.map(({ id }) => id)).size === list.length, {
      error: 'must not have two questions with the same id',
    }),
  );

const method = z.enum(['weighted-average', 'sum']);
const passScore = z.number('must be a number').check(
  z.refine((score) => score >= 0 && score <= 100 && hasDecimals(score, 2), {
    error: 'must be from 0 to 100 with at most two decimals',
    params: { minimum: 0, maximum: 100 },
  }),
);

/** The scoring of a new assessment. */
export const scoringConfig = z.strictObject({ method, passScore: z.optional(passScore) });

/** A patch of the scoring, which is merged into the stored one. */
export const scoringPatch = z.strictObject({ method: z.optional(method), passScore: z.nullish(passScore) });
