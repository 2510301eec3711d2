import pg from 'pg';

/** What a mover's process "says" when it is dead. */
export class Killed extends Error {
  override name = 'Killed';
}

type Query = (this: pg.Client, ...args: unknown[]) => unknown;

/**
 * Lets the process of a step die at a COMMIT of the movers: the step learns nothing any more, its connections break,
 * and no new one does anything. The test's own connections live on (movers' are those that pipeline, as the owner).
 */
export class SuddenDeath {
  /** Of the movers so far. */
  commits = 0;
  dead = false;
  readonly #original = pg.Client.prototype.query as unknown as Query;
  readonly #clients = new Set<pg.Client>();

  /** @param at which COMMIT, from 1. @param moment before the server gets it, or after it has answered. */
  constructor(at: number, moment: 'before' | 'after') {
    const death = this;
    const original = this.#original;
    const query: Query = function (...args) {
      const isMover = (this as unknown as { pipeline: boolean }).pipeline && this.user === 'strata_owner';
      if (!isMover) return original.apply(this, args);
      death.#clients.add(this);
      if (death.dead) return Promise.reject(new Killed());
      if (args[0] !== 'COMMIT') return original.apply(this, args);
      death.commits += 1;
      if (death.commits !== at) return original.apply(this, args);
      const answered =
        moment === 'after' ? (original.apply(this, args) as Promise<unknown>) : Promise.resolve();
      return answered.then(() => {
        death.#die();
        throw new Killed();
      });
    };
    pg.Client.prototype.query = query as unknown as typeof pg.Client.prototype.query;
  }

  /** For a step's context: the dead tell nothing. */
  readonly check = (): void => {
    if (this.dead) throw new Killed();
  };

  /** Ends the spell: what runs from here on is another process. */
  revive(): void {
    pg.Client.prototype.query = this.#original as unknown as typeof pg.Client.prototype.query;
  }

  #die(): void {
    this.dead = true;
    for (const client of this.#clients)
      (client as unknown as { connection: { stream: { destroy(): void } } }).connection.stream.destroy();
  }
}
