import type { InvalidValues } from '../resources/errors.ts';
import { type Answers, optionsOf, type Question } from './assessment-questions.ts';

/** Of an answer in text. */
export const MAX_ANSWER_CHARACTERS = 10_000;

/**
 * What is wrong with answers, at their places in the body.
 * @param answers null in place of an answer removes it.
 */
export function issuesOfAnswers(questions: readonly Question[], answers: Answers): InvalidValues['issues'] {
  const byId = new Map(questions.map((question) => [question.id, question]));
  return Object.entries(answers).flatMap(([id, answer]) => {
    const question = byId.get(id);
    const message = question ? issueOf(question, answer) : 'is not a question of the assessment';
    return message === undefined ? [] : [{ path: ['answers', id], message }];
  });
}

function issueOf(question: Question, answer: unknown): string | undefined {
  if (answer === null) return undefined;
  if (question.kind === 'text') {
    if (typeof answer !== 'string') return 'must be a string';
    return [...answer].length > MAX_ANSWER_CHARACTERS
      ? `must be at most ${MAX_ANSWER_CHARACTERS} characters`
      : undefined;
  }
  const values = optionsOf(question).map(({ value }) => value);
  if (values.includes(answer as string | number)) return undefined;
  return `must be ${values.length > 1 ? 'one of ' : ''}${values.map((value) => JSON.stringify(value)).join(', ')}`;
}
