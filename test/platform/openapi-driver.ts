import { expect, vi } from 'vitest';
import type { ApiDocument, Operation } from './openapi-document.ts';
import { samples } from './openapi-samples.ts';
import { fittingValue, NOTHING } from './openapi-values.ts';
import { BUSY_WITH_ANOTHER_TEST } from './restore-runs.ts';
import {
  type Answer,
  ASK_EVERY_MS,
  type Call,
  call,
  operatorToken,
  platform,
  unique,
  userToken,
} from './running-platform.ts';

type Caller = 'user' | 'operator' | 'nobody';

/**
 * Calls the operations of the document for one tenant, in an order in which each finds what it needs, and compares each
 * answer with the document: status, headers, body.
 */
export class ApiDriver {
  readonly document: ApiDocument;
  /** Slug. */
  readonly tenant: string;
  /** Of what the driver has made, by the name of the path parameter that takes it. */
  readonly ids = new Map<string, string>();
  readonly #made: Operation[] = [];
  readonly driven: string[] = [];

  constructor(document: ApiDocument, tenant: string) {
    this.document = document;
    this.tenant = tenant;
    this.ids.set('tenantId', tenant);
  }

  /**
   * Drives operations: first those that create something, then reads, changes and actions, and at the end the deletions, of
   * which the latest resource goes first.
   */
  async drive(operations: readonly Operation[]): Promise<void> {
    await this.#createAll(operations.filter((one) => one.method === 'POST' && creates(one)));
    const others = operations.filter((one) => !(one.method === 'POST' && creates(one)));
    const order = ['GET', 'PATCH', 'PUT', 'POST'];
    for (const method of order) {
      for (const operation of others.filter((one) => one.method === method)) await this.#drive(operation);
    }
    const deletions = others.filter(({ method }) => method === 'DELETE');
    const rank = ({ path }: Operation) =>
      this.#made.findIndex((made) => path === `${made.path}/${path.split('/').at(-1)}`);
    for (const operation of deletions.sort((one, other) => rank(other) - rank(one))) {
      await this.#drive(operation);
    }
  }

  get(path: string, as: 'user' | 'operator' = 'user'): Promise<Answer> {
    return this.send('GET', path, { as });
  }

  async send(
    method: string,
    path: string,
    { as = 'user', ...request }: Call & { as?: Caller } = {},
  ): Promise<Answer> {
    if (as === 'nobody') return rawCall(path, request.headers);
    const token = as === 'operator' ? await operatorToken() : await userToken(this.tenant);
    return call(method, path, { token, ...request });
  }

  /** A body that the operation takes; undefined for an operation without one. */
  async bodyFor(operation: Operation): Promise<unknown> {
    if (!operation.body) return undefined;
    const body = (await samples[operation.id]?.body?.(this)) ?? fittingValue(operation.body, '', this.ids);
    if (!this.document.accepts(operation, body)) {
      throw new Error(
        `${operation.id}: the sample ${JSON.stringify(body)} is not as documented: see openapi-samples.ts`,
      );
    }
    return body;
  }

  /** The operation's path with the ids that are known, and its required query parameters. @throws {Error} */
  pathFor(operation: Operation): string {
    const path = operation.path.replace(/\{(\w+)\}/g, (_, name: string) => {
      const id = this.ids.get(name);
      if (id === undefined) throw new Error(`${operation.id}: nothing has made the ${name} that it needs`);
      return encodeURIComponent(id);
    });
    const query = new URLSearchParams();
    for (const { name, schema, required, in: place } of operation.parameters) {
      if (place !== 'query' || !required) continue;
      const value = fittingValue(schema, name, this.ids);
      if (value === NOTHING) throw new Error(`${operation.id}: no value for the parameter ${name}`);
      query.set(name, String(value));
    }
    return query.size > 0 ? `${path}?${query}` : path;
  }

  /** In rounds: an operation waits until what it refers to was made. */
  async #createAll(operations: readonly Operation[]): Promise<void> {
    let waiting = [...operations];
    while (waiting.length > 0) {
      const ready = waiting.filter((operation) => this.#isReady(operation));
      if (ready.length === 0) {
        throw new Error(`nothing makes what these refer to: ${waiting.map(({ id }) => id).join(', ')}`);
      }
      for (const operation of ready) await this.#drive(operation);
      waiting = waiting.filter((operation) => !ready.includes(operation));
    }
  }

  #isReady({ id, path, body }: Operation): boolean {
    const parameters = [...path.matchAll(/\{(\w+)\}/g)].map(([, name = '']) => name);
    const properties = (body?.properties ?? {}) as Record<string, { format?: string }>;
    const references = samples[id]?.body
      ? []
      : ((body?.required ?? []) as string[]).filter((name) => properties[name]?.format === 'uuid');
    return [...parameters, ...references].every((name) => this.ids.has(name));
  }

  async #drive(operation: Operation): Promise<void> {
    const sample = samples[operation.id] ?? {};
    await sample.before?.(this);
    const as = operation.kind === 'public' ? 'nobody' : operation.kind === 'tenant' ? 'user' : 'operator';
    const path = this.pathFor(operation);
    const body = await this.bodyFor(operation);
    const key = takes(operation, 'Idempotency-Key') ? unique('key') : undefined;
    const headers: Record<string, string> = key === undefined ? {} : { 'idempotency-key': key };
    if (operation.method === 'PATCH') headers['content-type'] = 'application/merge-patch+json';
    const request = { as, headers, ...(body === undefined ? {} : { body }) } as const;

    if (takes(operation, 'If-Match')) {
      const other = await this.send(operation.method, path, {
        ...request,
        headers: { ...headers, 'if-match': '"other"' },
      });
      this.#compare(operation, other, [412]);
    }
    const expected = sample.expect ?? successes(operation);
    const answerOnceFree = async () => {
      const answered = await this.send(operation.method, path, request);
      const isBusy = BUSY_WITH_ANOTHER_TEST.test(String(answered.body?.detail));
      return (expected.includes(answered.status) || !isBusy) && answered;
    };
    const answer = await vi.waitUntil(answerOnceFree, { timeout: 60_000, interval: ASK_EVERY_MS });
    this.#compare(operation, answer, expected);
    const location = answer.headers.get('location');
    if (answer.status === 201 || answer.status === 202) this.#remember(operation, answer.body);
    if (key !== undefined && !sample.once && answer.status < 300) {
      const again = await this.send(operation.method, path, request);
      this.#compare(operation, again, [answer.status]);
      expect(again.headers.get('idempotency-replayed'), `${operation.id}, sent again`).toBe('true');
      expect(again.body, `${operation.id}, sent again`).toEqual(answer.body);
    }
    if (takes(operation, 'If-None-Match')) await this.#readAgain(operation, path, as, answer);
    if (location !== null && answer.status === 202) await sample.after?.(this, location);
    this.driven.push(operation.id);
  }

  /** With the tag of an answer. Other tests change what they share, such as a cell: then it has another tag. */
  async #readAgain(operation: Operation, path: string, as: Caller, answer: Answer): Promise<void> {
    let latest = answer;
    for (let tries = 0; tries < 5; tries++) {
      const etag = latest.headers.get('etag');
      if (!etag) return;
      const known = await this.send('GET', path, { as, headers: { 'if-none-match': etag } });
      if (known.status === 304) {
        this.#compare(operation, known, [304]);
        return;
      }
      this.#compare(operation, known, [200]);
      expect(known.headers.get('etag'), operation.id).not.toBe(etag);
      latest = known;
    }
    throw new Error(`${operation.id} is never the same twice`);
  }

  #compare(operation: Operation, answer: Answer, statuses: readonly number[]): void {
    const told = `${operation.id}: ${answer.status} ${JSON.stringify(answer.body)?.slice(0, 600)}`;
    expect(statuses, told).toContain(answer.status);
    expect(this.document.differences(operation, answer), told).toEqual([]);
  }

  /** The id of what was made is in the answer, under the name of the item's path parameter. */
  #remember(operation: Operation, body: Record<string, string> | undefined): void {
    this.#made.push(operation);
    const item = this.document.operations.find(
      ({ method, path }) =>
        method === 'GET' &&
        path.startsWith(`${operation.path}/{`) &&
        path.split('/').length === operation.path.split('/').length + 1,
    );
    const name = item?.path.match(/\{(\w+)\}$/)?.[1];
    const id = name === undefined ? undefined : body?.[name];
    if (name !== undefined && id !== undefined && !this.ids.has(name)) this.ids.set(name, id);
  }
}

/** A POST to a list, not an action on an item. */
function creates({ responses, path }: Operation): boolean {
  return (
    '201' in responses ||
    ('202' in responses && !/\}\/[a-z-]+$/.test(path.replace(/^\/tenants\/\{tenantId\}/, '')))
  );
}

const successes = ({ responses }: Operation): number[] =>
  Object.keys(responses)
    .map(Number)
    .filter((status) => status < 300);

const takes = ({ parameters }: Operation, header: string): boolean =>
  parameters.some(({ name }) => name === header);

/** Of a route without a token, whose answer may be no JSON. */
async function rawCall(path: string, headers: Record<string, string> = {}): Promise<Answer> {
  const response = await fetch(`${platform().apiUrl}${path}`, { headers });
  const text = await response.text();
  const isJson = response.headers.get('content-type')?.includes('json');
  return {
    status: response.status,
    headers: response.headers,
    body: isJson ? JSON.parse(text) : text || undefined,
  };
}
