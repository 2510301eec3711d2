import type { TenantTransaction } from '../database/session/tenant-session.ts';
import type { Values } from './resource.ts';

/** One change of a row, by column. */
export interface Change {
  /** What the client sent. */
  readonly patch: Values;
  /** What will be written: documents are merged with the stored ones. */
  readonly values: Values;
  /** The key; for a new row all of its values. */
  readonly key: Values;
  /** The stored row, locked for update; undefined for a new one. */
  readonly current: Values | undefined;
}

/**
 * Rules of a resource that the database alone cannot judge. They run in the change's transaction, before its statement,
 * and lock whatever they rely on: a transaction is READ COMMITTED.
 */
export interface ResourceRules {
  /** False for changes that need no check: they stay one round trip. */
  concerns(patch: Values, change: 'create' | 'update'): boolean;
  /**
   * Refuses the change by throwing an error of `../resources/errors.ts`.
   * @returns values of columns that the client does not write, if any.
   */
  check?(transaction: TenantTransaction, change: Change): Promise<Values | undefined>;
  /** Refuses the deletion of the stored row, which is locked, by throwing. */
  checkDelete?(transaction: TenantTransaction, current: Values): Promise<void>;
}
