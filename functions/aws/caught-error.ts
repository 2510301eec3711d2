/** An error as Step Functions catches it: its name, and the function's answer as JSON text. */
export interface CaughtError {
  readonly Error: string;
  readonly Cause?: string | undefined;
}

/** Error classes by their names: only their messages may be shown to clients. */
export type VouchedErrors = Readonly<Record<string, unknown>>;

export interface ReasonOptions {
  /** What the workflow makes, such as `move`; part of the sentence. */
  readonly what: string;
  readonly vouched: VouchedErrors;
  /** The reason for every other error; may be shown to clients. */
  readonly fallback: string;
}

const MAX_CHARACTERS = 500;

/** @returns why a workflow failed, in words that may be shown to clients. */
export function reasonOfFailure(
  { Error: name, Cause }: CaughtError,
  { what, vouched, fallback }: ReasonOptions,
): string {
  if (name === 'States.Timeout') return `A phase of the ${what} took too long.`;
  if (!Object.hasOwn(vouched, name)) return fallback;
  try {
    const { errorMessage } = JSON.parse(Cause ?? '') as { errorMessage?: unknown };
    return typeof errorMessage === 'string' ? errorMessage.slice(0, MAX_CHARACTERS) : fallback;
  } catch {
    return fallback;
  }
}
