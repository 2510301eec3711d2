import { STATUS_CODES } from 'node:http';

/** One complaint about the input: where (a JSON pointer into the body, or a parameter's name) and what. */
export interface InputError {
  readonly pointer?: string;
  readonly parameter?: string;
  readonly detail: string;
}

export interface ProblemOptions {
  readonly detail?: string;
  readonly title?: string;
  readonly errors?: readonly InputError[];
  readonly headers?: Readonly<Record<string, string>>;
  readonly cause?: unknown;
}

/**
 * An answer of RFC 9457. Everything in it is written for the client: no SQL, no host, no other tenant's name.
 * @param problemType the last part of `urn:strata:problem:…`.
 */
export class Problem extends Error {
  override name = 'Problem';
  readonly status: number;
  readonly problemType: string;
  readonly title: string;
  readonly detail: string | undefined;
  readonly errors: readonly InputError[] | undefined;
  readonly headers: Readonly<Record<string, string>>;

  constructor(status: number, problemType: string, options: ProblemOptions = {}) {
    super(options.detail ?? problemType, { cause: options.cause });
    this.status = status;
    this.problemType = problemType;
    this.title = options.title ?? STATUS_CODES[status] ?? 'Error';
    this.detail = options.detail;
    this.errors = options.errors;
    this.headers = options.headers ?? {};
  }

  /** The document's members, in the order of the RFC. */
  toDocument(): Record<string, unknown> {
    return {
      type: `urn:strata:problem:${this.problemType}`,
      title: this.title,
      status: this.status,
      ...(this.detail ? { detail: this.detail } : {}),
      ...(this.errors ? { errors: this.errors } : {}),
    };
  }
}

/** 400 with one entry for each complaint. */
export function invalidInput(errors: readonly InputError[]): Problem {
  return new Problem(400, 'validation', {
    title: 'Invalid request',
    detail: 'The request is not valid.',
    errors,
  });
}
