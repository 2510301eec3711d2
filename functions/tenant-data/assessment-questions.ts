/** The documents of an assessment and its results, as the API and the tables have them. */

/** The value of an option, and the answer that chooses it. */
export type OptionValue = string | number;

export interface Question {
  /** Unique in its assessment. */
  readonly id: string;
  readonly skillId?: string | undefined;
  /** `text` takes any text and does not score. */
  readonly kind: 'scale' | 'choice' | 'text';
  readonly prompt: string;
  /** Of a choice always; a scale without options is `DEFAULT_SCALE`. */
  readonly options?: readonly QuestionOption[] | undefined;
  /** Above 0; 1 when absent. */
  readonly weight?: number | undefined;
}

export interface QuestionOption {
  readonly value: OptionValue;
  /** At least 0; one option of a question has more. */
  readonly score: number;
}

export interface ScoringConfig {
  readonly method: 'weighted-average' | 'sum';
  /** The lowest score that passes, 0 to 100. */
  readonly passScore?: number | undefined;
}

/** By question; a question that is absent is not answered. */
export type Answers = Readonly<Record<string, unknown>>;

export const DEFAULT_SCORING: ScoringConfig = { method: 'weighted-average' };

/** A scale without options: the whole numbers 1 to 5, of which 1 scores nothing and 5 scores fully. */
const DEFAULT_SCALE: readonly QuestionOption[] = [1, 2, 3, 4, 5].map((value) => ({
  value,
  score: value - 1,
}));

/** The options of a question that scores; none of one that does not. */
export function optionsOf({ kind, options }: Question): readonly QuestionOption[] {
  if (kind === 'text') return [];
  return options ?? (kind === 'scale' ? DEFAULT_SCALE : []);
}
