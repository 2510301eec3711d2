/**
 * Runs work as a process that dies at its n-th commit: from then on none of its connections answers, it reports nothing,
 * and the servers find its connections closed. The test's own connections live on.
 */
import { AsyncLocalStorage } from 'node:async_hooks';
import pg from 'pg';

interface Life {
  /** At which commit it ends, from 1; Infinity to count them. */
  readonly limit: number;
  /** Whether the server gets that commit, and has answered it. */
  readonly moment: 'before' | 'after';
  commits: number;
  dead: boolean;
  readonly clients: Set<pg.Client>;
}

const lives = new AsyncLocalStorage<Life>();
const inTransaction = new WeakSet<pg.Client>();

/** A statement outside of a transaction that changes something is a commit of its own. */
const CHANGES =
  /^\s*(insert|update|delete|alter|create|drop|grant|analyze|set local (lock_timeout|synchronous_commit)|select from pg_catalog\.pg_(drop|create)_)/i;

/** Answers how many commits the work made, and whether it died. */
export async function mortal(
  limit: number,
  work: () => Promise<unknown>,
  moment: Life['moment'] = 'after',
): Promise<{ readonly commits: number; readonly died: boolean }> {
  const life: Life = { limit, moment, commits: 0, dead: false, clients: new Set() };
  try {
    await lives.run(life, work);
  } catch (error) {
    if (!life.dead) throw error;
  }
  return { commits: life.commits, died: life.dead };
}

/** For what a process reports by other ways than its connections. @throws when it is dead. */
export function mustLive(): void {
  if (lives.getStore()?.dead) throw new Killed();
}

class Killed extends Error {
  override name = 'Killed';
}

function die(life: Life): never {
  life.dead = true;
  for (const client of life.clients) {
    (client as unknown as { connection: { stream: { destroy(): void } } }).connection.stream.destroy();
  }
  throw new Killed();
}

/** Makes clients mortal; answers what undoes it. */
export function patchClients(): () => void {
  const { connect, query } = pg.Client.prototype;
  pg.Client.prototype.connect = function (this: pg.Client, ...args: never[]) {
    const life = lives.getStore();
    if (life?.dead) return die(life);
    life?.clients.add(this);
    return Reflect.apply(connect, this, args);
  } as never;
  pg.Client.prototype.query = function (this: pg.Client, ...args: unknown[]) {
    const life = lives.getStore();
    if (!life) return Reflect.apply(query, this, args as never);
    if (life.dead) return Promise.reject(new Killed());
    const [first] = args as [string | { text: string }];
    const text = typeof first === 'string' ? first : first.text;
    if (/^\s*(begin|start transaction)/i.test(text)) inTransaction.add(this);
    const commits = /^\s*commit/i.test(text) || (!inTransaction.has(this) && CHANGES.test(text));
    if (/^\s*(commit|rollback)/i.test(text)) inTransaction.delete(this);
    const send = () => Reflect.apply(query, this, args as never) as unknown as Promise<unknown>;
    if (!commits) return send();
    life.commits += 1;
    const last = life.commits >= life.limit;
    if (last && life.moment === 'before') return Promise.resolve().then(() => die(life));
    return send().then((result) => (last ? die(life) : result));
  } as never;
  return () => Object.assign(pg.Client.prototype, { connect, query });
}
