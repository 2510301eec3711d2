// Not `STATUS_CODES` of node:http: importing that module from ESM loads all of undici, a fifth of a cold start.
const TITLES: Readonly<Record<number, string>> = {
  308: 'Permanent Redirect',
  400: 'Bad Request',
  401: 'Unauthorized',
  403: 'Forbidden',
  404: 'Not Found',
  409: 'Conflict',
  412: 'Precondition Failed',
  413: 'Payload Too Large',
  415: 'Unsupported Media Type',
  422: 'Unprocessable Entity',
  429: 'Too Many Requests',
  500: 'Internal Server Error',
  503: 'Service Unavailable',
};

/**
 * One error of the input: its place (a JSON pointer into the body, or the name of a parameter or a rule) and its text.
 */
export interface InputError {
  readonly pointer?: string;
  readonly parameter?: string;
  readonly rule?: string;
  readonly detail: string;
}

export interface ProblemOptions {
  readonly detail?: string;
  readonly title?: string;
  readonly errors?: readonly InputError[];
  readonly headers?: Readonly<Record<string, string>>;
  /** Further members of the document, which the problem's type defines. */
  readonly extensions?: Readonly<Record<string, unknown>>;
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
  readonly extensions: Readonly<Record<string, unknown>>;

  constructor(status: number, problemType: string, options: ProblemOptions = {}) {
    super(options.detail ?? problemType, { cause: options.cause });
    this.status = status;
    this.problemType = problemType;
    this.title = options.title ?? TITLES[status] ?? 'Error';
    this.detail = options.detail;
    this.errors = options.errors;
    this.headers = options.headers ?? {};
    this.extensions = options.extensions ?? {};
  }

  /** The document's members, in the order of the RFC. */
  toDocument(): Record<string, unknown> {
    return {
      type: `urn:strata:problem:${this.problemType}`,
      title: this.title,
      status: this.status,
      ...(this.detail ? { detail: this.detail } : {}),
      ...(this.errors ? { errors: this.errors } : {}),
      ...this.extensions,
    };
  }
}

/** 400 with one entry for each error. */
export function invalidInput(errors: readonly InputError[]): Problem {
  return new Problem(400, 'validation', {
    title: 'Invalid request',
    detail: 'The request is not valid.',
    errors,
  });
}
