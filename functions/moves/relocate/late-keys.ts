/**
 * Primary keys of large tables, built behind the copies of their rows: copying and sorting afterwards takes less time than
 * copying into a table with a key. But the worker that applies the changes since the copy needs the key at once.
 *
 *   bare ──its copy begins──▶ the build waits for the table's lock ──the copy commits──▶ being built ──▶ keyed
 *
 * Invariant: PostgreSQL grants the table's lock in the order of the requests. So where the build was requested while the copy
 * was running, also by a function that has died since, no worker finds the table without its key. Where it was not, because a
 * function died and no other followed in time, the worker fails without the key and is started again until the key exists:
 * such a table is late, and failures until then are ignored.
 */
import type pg from 'pg';
import { keylessTables } from '../../database/transfer/replication/sync-state.ts';
import { buildPiece, missingPieces, type Piece } from '../../database/transfer/target-schema.ts';
import { asOwnersOf } from '../../places/place-database.ts';
import { type Hop, replicationName, tablesAtTarget } from '../hop.ts';
import { BUILD_POWER } from './replication.ts';

/** Smaller tables have their key from the start: their copies might end before this code has seen them begin. */
export const LARGE_BYTES = 32 * 1024 ** 2;

export interface KeysUnderWay {
  /** How many tables with rows wait for their keys. */
  readonly tables: number;
  /** Whether workers may fail because one is missing. */
  readonly late: boolean;
}

/**
 * Opens a connection for each missing key first: signing in takes longer than some copies. Builds that are under way when
 * `work` ends are left to PostgreSQL.
 */
export async function buildingLateKeys<Result>(
  hop: Hop,
  target: pg.ClientBase,
  work: (keys: LateKeys) => Promise<Result>,
): Promise<Result> {
  const missing = (await missingPieces(target, tablesAtTarget(hop))).filter(isPrimaryKey);
  return asOwnersOf(
    missing.map(() => hop.target),
    (builders) => work(new LateKeys(hop, target, missing, builders)),
  );
}

const isPrimaryKey = ({ kind }: Piece) => kind === 'primary key';

export class LateKeys {
  readonly #hop: Hop;
  readonly #target: pg.ClientBase;
  readonly #waiting: Map<string, { readonly key: Piece; readonly builder: pg.ClientBase }>;
  readonly #building = new Set<string>();
  readonly #late = new Set<string>();
  #failure: { readonly error: unknown } | undefined;

  constructor(hop: Hop, target: pg.ClientBase, keys: readonly Piece[], builders: readonly pg.ClientBase[]) {
    this.#hop = hop;
    this.#target = target;
    this.#waiting = new Map(keys.map((key, n) => [key.table, { key, builder: builders[n]! }]));
  }

  /**
   * Requests the keys that can be requested by now.
   * @throws what a build has thrown.
   */
  async tend(): Promise<KeysUnderWay> {
    if (this.#waiting.size > 0) {
      const { target } = this.#hop;
      for (const { name, state } of await keylessTables(
        this.#target,
        replicationName(this.#hop),
        target.schemaName,
      ))
        this.#begin(name, state === 'copied');
    }
    if (this.#failure) throw this.#failure.error;
    return { tables: this.#building.size, late: this.#late.size > 0 };
  }

  #begin(table: string, late: boolean): void {
    const waiting = this.#waiting.get(table);
    if (!waiting) return;
    this.#waiting.delete(table);
    this.#building.add(table);
    if (late) this.#late.add(table);
    buildPiece(waiting.builder, tablesAtTarget(this.#hop), waiting.key, BUILD_POWER)
      .catch((error: unknown) => {
        this.#failure ??= { error };
      })
      .finally(() => {
        this.#building.delete(table);
        this.#late.delete(table);
      });
  }
}
