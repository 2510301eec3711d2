/**
 * Primary keys of large tables, built once their rows are there: into a table with a key, rows go more slowly than it
 * takes to copy them and to sort them afterwards. Yet a worker that goes on to apply what has changed since its copy
 * needs the key at once.
 *
 *   bare ──its copy begins──▶ the build waits for the table, behind the copy ──the copy commits──▶ being built ──▶ keyed
 *
 * Invariant: PostgreSQL gives the table to whoever waited first. So where the build was asked for while the copy was at
 * work, also by a mover that has died since, no worker finds the table without its key. Where it was not, the worker
 * fails for want of it and is started again until the key is there: such a table is late, and failures until then are
 * forgiven.
 */
import type pg from 'pg';
import { buildPrimaryKey } from '../../database/transfer/build-pieces.ts';
import { keylessTables } from '../../database/transfer/replication/sync-state.ts';
import { asOwnerOf, type Hop, replicationName } from '../hop.ts';
import { POWER } from './build-power.ts';

/** Smaller tables have their key from the start: their copies might end before anybody has seen them begin. */
export const LARGE_BYTES = 32 * 1024 ** 2;

export interface KeysUnderWay {
  /** How many tables with rows wait for their keys. */
  readonly tables: number;
  /** Whether workers may fail for want of one. */
  readonly late: boolean;
}

export class LateKeys {
  readonly #hop: Hop;
  readonly #building = new Map<string, Promise<void>>();
  readonly #late = new Set<string>();
  readonly #ended = Promise.withResolvers<void>();
  #failure: { readonly error: unknown } | undefined;

  constructor(hop: Hop) {
    this.#hop = hop;
  }

  /**
   * Asks for the keys that can be asked for by now, each on a connection of its own.
   * @throws what a build has thrown.
   */
  async tend(target: pg.ClientBase): Promise<KeysUnderWay> {
    const tables = await keylessTables(target, replicationName(this.#hop), this.#hop.target.schemaName);
    for (const { name, state } of tables) {
      if (this.#building.has(name)) continue;
      if (state === 'copied') this.#late.add(name);
      this.#building.set(name, this.#build(name));
    }
    if (this.#failure) throw this.#failure.error;
    return { tables: this.#building.size, late: this.#late.size > 0 };
  }

  /** Leaves to PostgreSQL what it has been asked for. */
  async end(): Promise<void> {
    this.#ended.resolve();
    await Promise.all(this.#building.values());
  }

  async #build(table: string): Promise<void> {
    const { schemaName } = this.#hop.target;
    try {
      await asOwnerOf(this.#hop.target, (owner) => {
        const built = buildPrimaryKey(owner, schemaName, table, POWER);
        // Fails with its connection where it is not waited for.
        built.catch(() => {});
        return Promise.race([built, this.#ended.promise]);
      });
    } catch (error) {
      this.#failure ??= { error };
    } finally {
      this.#building.delete(table);
      this.#late.delete(table);
    }
  }
}
