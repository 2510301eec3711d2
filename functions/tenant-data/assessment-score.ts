/**
 * The score of a completed result, from 0 to 100 with two decimals.
 *
 * A question scores the score of the chosen option; one that is not answered scores 0; `text` does not score.
 * - `weighted-average`: the average of the questions' shares (score ÷ the highest score of the question), by weight. A
 *   question counts by its weight alone, whatever its options score.
 * - `sum`: the sum of the scores, each times its weight, as a share of the highest possible sum. A question whose options
 *   score more counts more.
 */
import { type Answers, optionsOf, type Question, type ScoringConfig } from './assessment-questions.ts';

export interface Scored {
  /** Null when no question scores. */
  readonly score: number | null;
  readonly resultsData: ResultsData;
}

/** `assessment_results.results_data` of a completed result. */
export interface ResultsData {
  /** Null without a `passScore`, or without a score. */
  readonly passed: boolean | null;
  /** Questions of the assessment. */
  readonly questions: number;
  /** Answers among them. */
  readonly answered: number;
  /** The score of the questions about each skill. */
  readonly skills: readonly { readonly skillId: string; readonly score: number }[];
}

export function scoreResult(
  questions: readonly Question[],
  { method, passScore }: ScoringConfig,
  answers: Answers,
): Scored {
  const points = questions.flatMap((question) => pointsOf(question, answers) ?? []);
  const score = shareOf(points, method);
  const skillIds = [...new Set(points.flatMap(({ skillId }) => skillId ?? []))];
  return {
    score,
    resultsData: {
      passed: score === null || passScore === undefined ? null : score >= passScore,
      questions: questions.length,
      answered: questions.filter(({ id }) => answerTo(id, answers) !== undefined).length,
      skills: skillIds.map((skillId) => {
        const own = points.filter((point) => point.skillId === skillId);
        return { skillId, score: shareOf(own, method) ?? 0 };
      }),
    },
  };
}

interface Points {
  readonly skillId: string | undefined;
  readonly reached: number;
  /** Above 0. */
  readonly highest: number;
  readonly weight: number;
}

/** Undefined for a question that does not score. */
function pointsOf(question: Question, answers: Answers): Points | undefined {
  const options = optionsOf(question);
  const highest = Math.max(0, ...options.map(({ score }) => score));
  if (highest === 0) return undefined;
  const answer = answerTo(question.id, answers);
  const reached = options.find(({ value }) => value === answer)?.score ?? 0;
  return { skillId: question.skillId, reached, highest, weight: question.weight ?? 1 };
}

function answerTo(id: string, answers: Answers): unknown {
  return Object.hasOwn(answers, id) ? answers[id] : undefined;
}

function shareOf(points: readonly Points[], method: ScoringConfig['method']): number | null {
  const unit = ({ highest }: Points) => (method === 'sum' ? 1 : highest);
  const reached = points.reduce((sum, point) => sum + (point.weight * point.reached) / unit(point), 0);
  const possible = points.reduce((sum, point) => sum + (point.weight * point.highest) / unit(point), 0);
  if (possible === 0) return null;
  // Sums of doubles may exceed the whole by their last digit.
  return Math.min(100, Math.max(0, Math.round((reached / possible) * 10_000) / 100));
}
