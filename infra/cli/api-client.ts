/** An answer that was not a success. `problem` is the body of the refusal. */
export class ApiError extends Error {
  override name = 'ApiError';
  readonly status: number;
  readonly problem: unknown;
  constructor(method: string, path: string, status: number, problem: unknown) {
    super(`${method} ${path} answered ${status}: ${JSON.stringify(problem)}`);
    this.status = status;
    this.problem = problem;
  }
}

/** The public HTTP API with one token. */
export class ApiClient {
  readonly #baseUrl: string;
  readonly #token: string;

  constructor(baseUrl: string, token: string) {
    this.#baseUrl = baseUrl;
    this.#token = token;
  }

  get<Body>(path: string): Promise<Body> {
    return this.send<Body>('GET', path);
  }

  /** Answers the created resource. `key` makes the request safe to send again. */
  post<Body>(path: string, body: object, key?: string): Promise<Body> {
    return this.send<Body>('POST', path, body, key ? { 'idempotency-key': key } : {});
  }

  patch<Body>(path: string, body: object): Promise<Body> {
    return this.send<Body>('PATCH', path, body);
  }

  /** @throws {ApiError} unless the answer is a success. */
  async send<Body>(
    method: string,
    path: string,
    body?: object,
    headers: Record<string, string> = {},
  ): Promise<Body> {
    const response = await fetch(`${this.#baseUrl}${path}`, {
      method,
      headers: {
        authorization: `Bearer ${this.#token}`,
        ...(body ? { 'content-type': 'application/json' } : {}),
        ...headers,
      },
      ...(body ? { body: JSON.stringify(body) } : {}),
    });
    const text = await response.text();
    const answer = text === '' ? undefined : JSON.parse(text);
    if (!response.ok) throw new ApiError(method, path, response.status, answer);
    return answer as Body;
  }
}
