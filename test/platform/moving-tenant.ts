import { vi } from 'vitest';
import { ClientLoad, type LoadOptions, type Send } from '../../infra/cli/client-load.ts';
import { sampled } from '../full-run.ts';
import {
  ASK_EVERY_MS,
  call,
  onboardOwnTenant,
  operatorToken,
  platform,
  userToken,
} from './running-platform.ts';
import { tracesOf } from './tenant-traces.ts';

// biome-ignore lint/suspicious/noExplicitAny: a move as the API tells it.
export type MoveBody = any;

/** A tenant of a test's own that is moved about while clients work with it. */
export class MovingTenant {
  readonly slug: string;
  readonly tenantId: string;

  private constructor(slug: string, tenantId: string) {
    this.slug = slug;
    this.tenantId = tenantId;
  }

  /** A new tenant, of Starter unless `fields` say otherwise. */
  static async create(fields: object = {}): Promise<MovingTenant> {
    const slug = await onboardOwnTenant(fields);
    const { body } = await call('GET', `/tenants/${slug}`, { token: await operatorToken() });
    return new MovingTenant(slug, body.tenantId);
  }

  readonly send: Send = async (method, path, body) => {
    const token = await userToken(this.slug);
    return call(method, path, { token, ...(body ? { body } : {}) });
  };

  load(options: Partial<LoadOptions> = {}): ClientLoad {
    return new ClientLoad(this.send, {
      prefix: this.slug,
      // A full run looks closer; others leave the processor to the workflow that they watch.
      writers: sampled(1, 2),
      readers: sampled(1, 2),
      restMs: sampled(60, 30),
      atMost: 40,
      ...options,
    });
  }

  async tenant(): Promise<MoveBody> {
    return (await call('GET', `/tenants/${this.slug}`, { token: await operatorToken() })).body;
  }

  /** Asks for a move; answers what the API answers. */
  async ask(body: object) {
    return call('POST', `/tenants/${this.slug}/moves`, { token: await operatorToken(), body });
  }

  /** Asks for a move and waits for its end. */
  async move(body: object): Promise<MoveBody> {
    const { status, headers, body: answer } = await this.ask(body);
    if (status !== 202) throw new Error(`the move was answered ${status}: ${JSON.stringify(answer)}`);
    return this.ended(String(headers.get('location')));
  }

  async ended(location: string): Promise<MoveBody> {
    let move: MoveBody;
    const over = async () => {
      move = (await call('GET', location, { token: await operatorToken() })).body;
      return move.status !== 'running';
    };
    await vi.waitUntil(over, { timeout: 90_000, interval: ASK_EVERY_MS });
    return move;
  }

  /** Waits until clean-up has left nothing but what `expected` says. */
  async traces(expected: readonly string[]): Promise<string[]> {
    let found: string[] = [];
    const settled = async () => {
      // Another test's database may be deleted while this looks into it.
      found = await tracesOf(platform(), this.tenantId).catch(() => found);
      return JSON.stringify(found) === JSON.stringify([...expected].sort());
    };
    await vi.waitUntil(settled, { timeout: 60_000, interval: ASK_EVERY_MS }).catch(() => {});
    return found;
  }
}
