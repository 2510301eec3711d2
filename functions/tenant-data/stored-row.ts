import { entityTag } from '../resources/entity-tag.ts';
import { type Item, toItem } from '../resources/field-names.ts';
import type { Actor } from './audit-log.ts';
import type { Resource, Values } from './resource.ts';

/** Encrypted values of one row, by column. */
export type SealedColumns = Readonly<Record<string, Buffer | null>>;

/** A row as its item, and apart from it what is encrypted. */
export interface StoredRow {
  /** What every role sees. */
  readonly item: Item;
  /**
   * What the entity tag is computed of: the item, and the ids of the encrypted values. So a tag is the same for every
   * role, and stays the same when a value is encrypted again.
   */
  readonly version: object;
  readonly sealed: SealedColumns;
}

/** An item with its entity tag. */
export interface TaggedItem {
  readonly item: Item;
  readonly etag: string;
}

/** Where an encrypted value has its id: `encrypted-value.ts` has the whole format. */
const VALUE_ID = [1, 17] as const;

export function readStoredRow({ sealed: fields = [] }: Resource, row: object): StoredRow {
  if (fields.length === 0) {
    const item = toItem(row);
    return { item, version: item, sealed: {} };
  }
  const columns: Record<string, unknown> = { ...row };
  const sealed: Record<string, Buffer | null> = {};
  for (const { column } of fields) {
    sealed[column] = (columns[column] as Buffer | null | undefined) ?? null;
    delete columns[column];
  }
  const item = toItem(columns);
  const ids = fields.map(({ column }) => sealed[column]?.toString('base64url', ...VALUE_ID) ?? '');
  return { item, version: ids.some((id) => id !== '') ? { ...item, sealed: ids } : item, sealed };
}

export const tagged = ({ item, version }: StoredRow): TaggedItem => ({ item, etag: entityTag(version) });

/** Only a tenant's own administrators see and write encrypted fields: an operator who acts for the tenant does not. */
export function seesSealedFields(actor: Pick<Actor, 'kind' | 'role'> | undefined): boolean {
  return actor?.kind === 'user' && actor.role === 'admin';
}

/** The encrypted fields among the values, by their names in JSON. */
export function sealedFieldsIn({ sealed = [] }: Resource, values: Values): string[] {
  return sealed.map(({ field }) => field).filter((field) => values[field] !== undefined);
}
