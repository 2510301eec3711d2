/**
 * Clients of one tenant that write and read over HTTP all the time, and a ledger of what was acknowledged to them.
 *
 * A violation is anything a client must never see during a move: an answer that is no success, a row that was
 * acknowledged and is not there, a value older than one that was acknowledged before the read began.
 */
import { setTimeout as delay } from 'node:timers/promises';
import { type ApiClient, ApiError } from './api-client.ts';

export interface HttpAnswer {
  readonly status: number;
  // biome-ignore lint/suspicious/noExplicitAny: tests look into answers of any shape.
  readonly body: any;
}
/** One request as a user of the tenant. */
export type Send = (method: string, path: string, body?: object) => Promise<HttpAnswer>;

/** Answers of all kinds, where `ApiClient` throws for those that are no success. */
export function sendThrough(client: ApiClient): Send {
  return async (method, path, body) => {
    try {
      return await client.ask(method, path, body);
    } catch (error) {
      if (error instanceof ApiError) return { status: error.status, body: error.problem };
      throw error;
    }
  };
}

interface Entry {
  employeeId: string;
  email: string;
  /** The newest version that was acknowledged; versions only grow. */
  version: number;
  deleted: boolean;
  /** A change is on its way: until it is answered, two states are right. */
  busy: boolean;
}

export interface LoadOptions {
  readonly writers?: number;
  readonly readers?: number;
  /** Milliseconds that each client rests between two requests. */
  readonly restMs?: number;
  /** Rows that it keeps at most: a tier takes only so many employees. */
  readonly atMost?: number;
  /** Begins every address that this load writes. */
  readonly prefix: string;
}

export interface LoadFigures {
  readonly requests: number;
  readonly writes: number;
  /** Of all requests, in milliseconds. */
  readonly slowestMs: number;
  /** Of the last 500 requests, in milliseconds. */
  readonly recentP99Ms: number;
}

const RECENT = 500;

export class ClientLoad {
  /** In words; empty is what a test expects. */
  readonly violations: string[] = [];
  readonly #send: Send;
  readonly #options: Required<LoadOptions>;
  readonly #ledger: Entry[] = [];
  readonly #clients: Promise<void>[] = [];
  #stopping = false;
  #forgiving = false;
  #requests = 0;
  #writes = 0;
  #slowestMs = 0;
  readonly #recentMs: number[] = [];
  /** Those of the ledger that are not deleted. */
  readonly #live = new Set<Entry>();
  #next = 0;

  constructor(send: Send, options: LoadOptions) {
    this.#send = send;
    this.#options = { writers: 3, readers: 3, restMs: 2, atMost: Infinity, ...options };
  }

  start(): void {
    for (let n = 0; n < this.#options.writers; n++) this.#clients.push(this.#client(() => this.#write()));
    for (let n = 0; n < this.#options.readers; n++) this.#clients.push(this.#client(() => this.#read()));
  }

  /** From now on refused connections count for nothing: the platform is being killed. */
  forgive(): void {
    this.#forgiving = true;
  }

  /** Ends the clients after the requests that they are at. */
  async stop(): Promise<LoadFigures> {
    this.#stopping = true;
    await Promise.all(this.#clients);
    return this.figures;
  }

  get figures(): LoadFigures {
    const sorted = this.#recentMs.toSorted((a, b) => a - b);
    return {
      requests: this.#requests,
      writes: this.#writes,
      slowestMs: this.#slowestMs,
      recentP99Ms: sorted[Math.floor(sorted.length * 0.99)] ?? 0,
    };
  }

  /** Resolves when that many more writes were acknowledged. */
  async written(count: number): Promise<void> {
    const goal = this.#writes + count;
    while (this.#writes < goal && !this.#stopping) await delay(1);
  }

  /**
   * Compares the tenant's employees with the ledger: each acknowledged one exactly once, in its newest version.
   * @param send of the platform as it is now, where it was started again.
   */
  async verify(send: Send = this.#send): Promise<string[]> {
    const found = new Map<string, { version: number; times: number }>();
    let cursor: string | null = null;
    do {
      const query: string = cursor ? `&cursor=${encodeURIComponent(cursor)}` : '';
      const { status, body } = await send('GET', `/employees?limit=200${query}`);
      if (status !== 200) return [`the list answered ${status}`];
      for (const { email, profileData } of body.items) {
        const times = (found.get(email)?.times ?? 0) + 1;
        found.set(email, { version: profileData?.version ?? 0, times });
      }
      cursor = body.nextCursor;
    } while (cursor);
    return this.#ledger.flatMap((entry) => {
      const row = found.get(entry.email);
      if (entry.busy) return [];
      if (entry.deleted) return row ? [`${entry.email} was deleted and is there`] : [];
      if (!row) return [`${entry.email} was acknowledged and is lost`];
      if (row.times > 1) return [`${entry.email} is there ${row.times} times`];
      return row.version < entry.version ? [`${entry.email} went back to version ${row.version}`] : [];
    });
  }

  async #client(act: () => Promise<void>): Promise<void> {
    while (!this.#stopping) {
      try {
        await act();
      } catch (error) {
        // The connection itself failed.
        if (this.#forgiving) return;
        this.violations.push(`no answer: ${error instanceof Error ? error.message : error}`);
      }
      await delay(this.#options.restMs);
    }
  }

  async #write(): Promise<void> {
    const choice = Math.random();
    const entry = this.#pick();
    if (this.#live.size >= this.#options.atMost) return entry && this.#delete(entry);
    if (!entry || choice < 0.5) return this.#create();
    return choice < 0.9 ? this.#update(entry) : this.#delete(entry);
  }

  async #create(): Promise<void> {
    const email = `${this.#options.prefix}-${this.#next++}@load.test`;
    const entry: Entry = { employeeId: '', email, version: 1, deleted: false, busy: true };
    const { status, body } = await this.#timed('POST', '/employees', {
      email,
      firstName: 'Ada',
      lastName: 'Lovelace',
      profileData: { version: 1 },
    });
    if (status !== 201) return this.#refused(`POST ${email}`, status, body);
    Object.assign(entry, { employeeId: body.employeeId, busy: false });
    this.#ledger.push(entry);
    this.#live.add(entry);
    this.#writes += 1;
  }

  async #update(entry: Entry): Promise<void> {
    entry.busy = true;
    const version = entry.version + 1;
    const { status, body } = await this.#timed('PATCH', `/employees/${entry.employeeId}`, {
      profileData: { version },
    });
    if (status !== 200) return this.#refused(`PATCH ${entry.email}`, status, body);
    Object.assign(entry, { version, busy: false });
    this.#writes += 1;
  }

  async #delete(entry: Entry): Promise<void> {
    entry.busy = true;
    const { status, body } = await this.#timed('DELETE', `/employees/${entry.employeeId}`);
    if (status !== 204) return this.#refused(`DELETE ${entry.email}`, status, body);
    Object.assign(entry, { deleted: true, busy: false });
    this.#live.delete(entry);
    this.#writes += 1;
  }

  async #read(): Promise<void> {
    const entry = this.#pick();
    if (!entry) return;
    const { version } = entry;
    const { status, body } = await this.#timed('GET', `/employees/${entry.employeeId}`);
    if (status === 404 && (entry.deleted || entry.busy)) return;
    if (status !== 200) return this.#refused(`GET ${entry.email}`, status, body);
    const seen = body.profileData?.version ?? 0;
    if (seen < version)
      this.violations.push(`${entry.email} was read as version ${seen} after ${version} was acknowledged`);
  }

  /** Some entry that no client is changing. */
  #pick(): Entry | undefined {
    const idle = [...this.#live].filter(({ busy }) => !busy);
    return idle[Math.floor(Math.random() * idle.length)];
  }

  #refused(what: string, status: number, body: unknown): void {
    if (this.#forgiving) return;
    this.violations.push(`${what} answered ${status}: ${JSON.stringify(body)}`);
  }

  async #timed(method: string, path: string, body?: object): Promise<HttpAnswer> {
    const start = performance.now();
    const answer = await this.#send(method, path, body);
    const elapsed = performance.now() - start;
    this.#recentMs[this.#requests % RECENT] = elapsed;
    this.#requests += 1;
    this.#slowestMs = Math.max(this.#slowestMs, elapsed);
    return answer;
  }
}
