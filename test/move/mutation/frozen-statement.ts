import pg from 'pg';

export interface FrozenStatement {
  /** Resolves when a client is about to send it. */
  readonly reached: Promise<void>;
  thaw(): void;
}

/**
 * Freezes the first client that is about to send a statement with this text in it, as a function may be frozen
 * between two statements. The server's patience with idle transactions is taken from that one.
 */
export function freezeBefore(text: string): FrozenStatement {
  const { query } = pg.Client.prototype;
  const reached = Promise.withResolvers<void>();
  const thawed = Promise.withResolvers<void>();
  const restore = () => {
    pg.Client.prototype.query = query;
  };
  pg.Client.prototype.query = function (this: pg.Client, ...args: never[]) {
    const [statement] = args as unknown[];
    if (typeof statement !== 'string' || !statement.includes(text)) return Reflect.apply(query, this, args);
    restore();
    const later = async () => {
      await this.query('SET LOCAL idle_in_transaction_session_timeout = 0');
      reached.resolve();
      await thawed.promise;
      return Reflect.apply(query, this, args);
    };
    return later();
  } as never;
  return {
    reached: reached.promise,
    thaw() {
      restore();
      thawed.resolve();
    },
  };
}
