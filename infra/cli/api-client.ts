/**
 * The client of the HTTP API: `operations` has every operation of the document with its types (`api-types.ts`, made by `npm
 * run openapi:types`). To copy it: this file, that one, and the package `openapi-fetch`.
 */
import createClient, { type Client } from 'openapi-fetch';
import type { components, paths } from './api-types.ts';

/** What the API answers, by name: `Schemas['Move']`. */
export type Schemas = components['schemas'];

/** An answer that is not a success. `problem` is the body of the refusal. */
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

export interface ApiAnswer<Body> {
  readonly status: number;
  readonly body: Body;
  /** URL to poll for the result. */
  readonly location: string | undefined;
}

/** API Gateway answers within 30 seconds. */
const TIMEOUT_MS = 35_000;

/** Paths of lists: their GET answers pages. */
type ListPath = {
  [Path in keyof paths]: paths[Path] extends { get: { responses: { 200: Page<unknown> } } } ? Path : never;
}[keyof paths];
interface Page<Item> {
  content: { 'application/json': { items: Item[]; nextCursor: string | null } };
}
type ItemOf<Path extends ListPath> = paths[Path] extends { get: { responses: { 200: Page<infer Item> } } }
  ? Item
  : never;
/** The parameters of a list's path, if it has some. */
type IdsOf<Path extends ListPath> = paths[Path] extends {
  get: { parameters: { path: infer Ids extends Readonly<Record<string, string>> } };
}
  ? [ids: Ids]
  : [];

/** The public HTTP API with one token. */
export class ApiClient {
  /**
   * Each operation by method and path, such as `operations.GET('/teams/{teamId}', { params: { path: { teamId } } })`. An
   * answer that is not a success throws an `ApiError`.
   */
  readonly operations: Client<paths>;
  readonly #baseUrl: string;
  readonly #token: string;

  constructor(baseUrl: string, token: string) {
    this.#baseUrl = baseUrl;
    this.#token = token;
    this.operations = createClient<paths>({
      baseUrl,
      headers: { authorization: `Bearer ${token}` },
      fetch: async (request) => {
        const response = await fetch(request, { signal: AbortSignal.timeout(TIMEOUT_MS) });
        if (response.ok) return response;
        const { pathname, search } = new URL(request.url);
        const problem = parsed(await response.text());
        throw new ApiError(request.method, pathname + search, response.status, problem);
      },
    });
  }

  /** All items of a list, page by page: `all('/tenants/{tenantId}/moves', { tenantId })`. */
  async all<Path extends ListPath>(path: Path, ...[ids]: IdsOf<Path>): Promise<ItemOf<Path>[]> {
    const known: Readonly<Record<string, string>> = ids ?? {};
    const filled = path.replace(/\{(\w+)\}/g, (_, name: string) => encodeURIComponent(known[name] ?? ''));
    return this.list<ItemOf<Path>>(filled);
  }

  /** What is at a path that the API itself has given, such as a `Location`. */
  get<Body>(path: string): Promise<Body> {
    return this.send<Body>('GET', path);
  }

  /** Creates a resource and returns it. `key` makes the request safe to repeat. */
  post<Body>(path: string, body: object, key?: string): Promise<Body> {
    return this.send<Body>('POST', path, body, key ? { 'idempotency-key': key } : {});
  }

  patch<Body>(path: string, body: object): Promise<Body> {
    return this.send<Body>('PATCH', path, body);
  }

  /** All items of a list, page by page. @param filters query parameters of each page */
  async list<Item>(path: string, filters: Readonly<Record<string, string>> = {}): Promise<Item[]> {
    const items: Item[] = [];
    let cursor: string | null | undefined;
    do {
      const query = new URLSearchParams({ ...filters, limit: '200', ...(cursor ? { cursor } : {}) });
      const page = await this.get<{ items: Item[]; nextCursor?: string | null }>(`${path}?${query}`);
      items.push(...page.items);
      cursor = page.nextCursor;
    } while (cursor);
    return items;
  }

  /** The body of an answer. @throws {ApiError} unless the answer is a success. */
  async send<Body>(
    method: string,
    path: string,
    body?: object,
    headers: Record<string, string> = {},
  ): Promise<Body> {
    return (await this.ask<Body>(method, path, body, headers)).body;
  }

  /**
   * An answer with its `Location`.
   * @throws {ApiError} unless the answer is a success
   * @throws {TypeError} when no server answers
   */
  async ask<Body>(
    method: string,
    path: string,
    body?: object,
    headers: Record<string, string> = {},
  ): Promise<ApiAnswer<Body>> {
    const response = await fetch(`${this.#baseUrl}${path}`, {
      method,
      signal: AbortSignal.timeout(TIMEOUT_MS),
      headers: {
        authorization: `Bearer ${this.#token}`,
        ...(body ? { 'content-type': 'application/json' } : {}),
        ...headers,
      },
      ...(body ? { body: JSON.stringify(body) } : {}),
    });
    const answer = parsed(await response.text());
    if (!response.ok) throw new ApiError(method, path, response.status, answer);
    return {
      status: response.status,
      body: answer as Body,
      location: response.headers.get('location') ?? undefined,
    };
  }
}

/**
 * The body of a success: `bodyOf(api.operations.GET('/cells'))`.
 * @throws {ApiError} the answer is no success. @throws {TypeError} when no server answers, or without a body.
 */
export async function bodyOf<Answer extends { readonly data?: unknown }>(
  answer: Promise<Answer>,
): Promise<NonNullable<Answer['data']>> {
  const { data } = await answer;
  if (data === undefined || data === null) throw new TypeError('the answer has no body');
  return data;
}

/** A gateway in between may answer with something other than JSON. */
function parsed(text: string): unknown {
  if (text === '') return undefined;
  try {
    return JSON.parse(text);
  } catch {
    return text.slice(0, 200);
  }
}

/** Resource path of a tenant, by slug or id. */
export function tenantPath(slug: string): string {
  return `/tenants/${encodeURIComponent(slug)}`;
}

export function movePath(slug: string, moveId: string): string {
  return `${tenantPath(slug)}/moves/${encodeURIComponent(moveId)}`;
}

export function restorePath(slug: string, restoreId: string): string {
  return `${tenantPath(slug)}/restores/${encodeURIComponent(restoreId)}`;
}

export function backupPath(slug: string, backupId: string): string {
  return `${tenantPath(slug)}/backups/${encodeURIComponent(backupId)}`;
}

export function exportPath(slug: string, exportId: string): string {
  return `${tenantPath(slug)}/exports/${encodeURIComponent(exportId)}`;
}

export function rotationPath(slug: string, rotationId: string): string {
  return `${tenantPath(slug)}/key-rotations/${encodeURIComponent(rotationId)}`;
}
