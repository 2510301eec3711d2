import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { Question, ScoringConfig } from '../../functions/tenant-data/assessment-questions.ts';
import { scoreResult } from '../../functions/tenant-data/assessment-score.ts';

const AVERAGE: ScoringConfig = { method: 'weighted-average' };
const SUM: ScoringConfig = { method: 'sum' };
const choice = (id: string, scores: readonly number[], more: Partial<Question> = {}): Question => ({
  id,
  kind: 'choice',
  prompt: id,
  options: scores.map((score, index) => ({ value: `o${index}`, score })),
  ...more,
});
const scale = (id: string, more: Partial<Question> = {}): Question => ({
  id,
  kind: 'scale',
  prompt: id,
  ...more,
});

describe('a score', () => {
  const small = choice('small', [0, 1]);
  const large = choice('large', [0, 5, 10]);

  test('by weighted average counts each question by its weight, whatever its options score', () => {
    const answers = { small: 'o1', large: 'o0' };
    expect(scoreResult([small, large], AVERAGE, answers).score).toBe(50);
    expect(scoreResult([{ ...small, weight: 3 }, large], AVERAGE, answers).score).toBe(75);
    expect(scoreResult([small, { ...large, weight: 2 }], AVERAGE, answers).score).toBe(33.33);
  });

  test('by sum counts a question more whose options score more', () => {
    expect(scoreResult([small, large], SUM, { small: 'o1', large: 'o0' }).score).toBe(9.09);
    expect(scoreResult([small, large], SUM, { small: 'o0', large: 'o2' }).score).toBe(90.91);
    expect(scoreResult([{ ...small, weight: 10 }, large], SUM, { small: 'o1' }).score).toBe(50);
  });

  test('of a scale without options goes from 1, which scores nothing, to 5', () => {
    const of = (value: number) => scoreResult([scale('s')], AVERAGE, { s: value }).score;
    expect([1, 2, 3, 4, 5].map(of)).toEqual([0, 25, 50, 75, 100]);
  });

  test('counts a question that is not answered as nothing, and text not at all', () => {
    const text: Question = { id: 't', kind: 'text', prompt: 't' };
    expect(scoreResult([small, large, text], AVERAGE, { small: 'o1', t: 'much' }).score).toBe(50);
    expect(scoreResult([text], AVERAGE, { t: 'much' })).toEqual({
      score: null,
      resultsData: { passed: null, questions: 1, answered: 1, skills: [] },
    });
  });

  test('passes from the pass score on', () => {
    const passed = (passScore: number | undefined) =>
      scoreResult([small, large], { ...AVERAGE, passScore }, { small: 'o1' }).resultsData.passed;
    expect([passed(50), passed(50.01), passed(undefined)]).toEqual([true, false, null]);
  });

  test('is told for each skill too', () => {
    const [algebra, logic] = ['11111111-1111-4111-8111-111111111111', '22222222-2222-4222-8222-222222222222'];
    const questions = [
      { ...small, skillId: algebra },
      { ...large, skillId: logic },
      { ...scale('s'), skillId: logic },
    ];
    const { resultsData } = scoreResult(questions, AVERAGE, { small: 'o1', large: 'o1', s: 5 });
    expect(resultsData).toEqual({
      passed: null,
      questions: 3,
      answered: 3,
      skills: [
        { skillId: algebra, score: 100 },
        { skillId: logic, score: 75 },
      ],
    });
  });

  test('is not fooled by questions that are named like members of objects', () => {
    const named = choice('constructor', [0, 1]);
    expect(scoreResult([named], AVERAGE, {})).toMatchObject({ score: 0, resultsData: { answered: 0 } });
  });
});

const question = (id: string): fc.Arbitrary<Question> =>
  fc
    .record({
      scores: fc
        .array(fc.integer({ min: 0, max: 1_000 }), { minLength: 1, maxLength: 5 })
        .filter((scores) => scores.some((score) => score > 0)),
      weight: fc.option(
        fc.integer({ min: 1, max: 100_000 }).map((n) => n / 100),
        { nil: undefined },
      ),
    })
    .map(({ scores, weight }) => choice(id, scores, weight === undefined ? {} : { weight }));
const assessment = fc
  .integer({ min: 1, max: 6 })
  .chain((count) => fc.tuple(...Array.from({ length: count }, (_, n) => question(`q${n}`))));
const method = fc.constantFrom('weighted-average' as const, 'sum' as const);
/** For each question the index of an option, as a share of their number; undefined: not answered. */
const picks = fc.array(fc.option(fc.double({ min: 0, max: 0.999, noNaN: true }), { nil: undefined }), {
  minLength: 6,
  maxLength: 6,
});

function answersOf(questions: readonly Question[], drawn: readonly (number | undefined)[]) {
  return Object.fromEntries(
    questions.flatMap(({ id, options = [] }, n) => {
      const part = drawn[n];
      const option = part === undefined ? undefined : options[Math.floor(part * options.length)];
      return option ? [[id, option.value] as const] : [];
    }),
  );
}

describe('whatever the questions and answers', () => {
  test('a score is from 0 to 100 with two decimals', () => {
    fc.assert(
      fc.property(assessment, method, picks, (questions, how, drawn) => {
        const { score } = scoreResult(questions, { method: how }, answersOf(questions, drawn));
        expect(score).toBeGreaterThanOrEqual(0);
        expect(score).toBeLessThanOrEqual(100);
        expect(Number(score?.toFixed(2))).toBe(score);
      }),
    );
  });

  test('the best answers score 100, no answers 0', () => {
    fc.assert(
      fc.property(assessment, method, (questions, how) => {
        const best = Object.fromEntries(
          questions.map(({ id, options = [] }) => [
            id,
            options.reduce((one, other) => (other.score > one.score ? other : one)).value,
          ]),
        );
        expect(scoreResult(questions, { method: how }, best).score).toBe(100);
        expect(scoreResult(questions, { method: how }, {}).score).toBe(0);
      }),
    );
  });

  test('a better answer never lowers the score', () => {
    fc.assert(
      fc.property(assessment, method, picks, fc.nat(5), (questions, how, drawn, at) => {
        const answers = answersOf(questions, drawn);
        const changed = questions[at % questions.length] as Question;
        const before = scoreResult(questions, { method: how }, answers).score ?? 0;
        const current = changed.options?.find(({ value }) => value === answers[changed.id])?.score ?? 0;
        for (const option of changed.options ?? []) {
          if (option.score < current) continue;
          const after = scoreResult(questions, { method: how }, { ...answers, [changed.id]: option.value });
          expect(after.score).toBeGreaterThanOrEqual(before);
        }
      }),
    );
  });

  test('neither the order of the questions nor the unit of the weights matters', () => {
    fc.assert(
      fc.property(assessment, method, picks, (questions, how, drawn) => {
        const answers = answersOf(questions, drawn);
        const { score } = scoreResult(questions, { method: how }, answers);
        const doubled = questions.map((each) => ({ ...each, weight: (each.weight ?? 1) * 2 }));
        expect(scoreResult(doubled, { method: how }, answers).score).toBe(score);
        // Sums of doubles depend on their order by the last digit, which may round the other way.
        const reversed = scoreResult(questions.toReversed(), { method: how }, answers).score ?? 0;
        expect(Math.abs(reversed - (score ?? 0))).toBeLessThan(0.011);
      }),
    );
  });
});
