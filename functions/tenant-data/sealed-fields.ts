/**
 * The encrypted fields of a resource's rows: from the values of a request to the columns of a row, and back. Loaded with
 * the first such field, because the code and KMS's client would slow the start of every function.
 */
import { createHash, timingSafeEqual } from 'node:crypto';
import { type FieldKeyEnvironment, variable } from '../contracts/environments.ts';
import type { TenantAccess } from '../placement/tenant-router.ts';
import { FieldCipher, type ValuePlace } from './field-cipher.ts';
import type { KeptHash } from './idempotent-create.ts';
import type { Resource, SealedField, Values } from './resource.ts';
import type { SealedColumns } from './stored-row.ts';

/** Rows whose values are opened at the same time: each may need a call of KMS. */
const ROWS_AT_ONCE = 16;

let ownCipher: FieldCipher | undefined;
const cipher = () => {
  ownCipher ??= new FieldCipher();
  return ownCipher;
};

/** ARN of the KMS key that new values of the tenant are encrypted under: its own, or the region's. */
async function keyOf(tenant: TenantAccess): Promise<string> {
  return (await tenant.ownFieldKey()) ?? variable<FieldKeyEnvironment>('FIELD_KEY_ARN');
}

const placeOf = (
  tenantId: string,
  { table }: Resource,
  { column }: SealedField,
  row: string,
): ValuePlace => ({
  tenantId,
  table,
  column,
  row,
});

/**
 * The columns for the encrypted fields among the values; null empties a column.
 * @throws {KeyUnavailable}
 */
export async function sealFields(
  tenant: TenantAccess,
  resource: Resource,
  row: string,
  values: Values,
): Promise<SealedColumns> {
  const columns: Record<string, Buffer | null> = {};
  for (const sealed of resource.sealed ?? []) {
    const value = values[sealed.field];
    if (value === undefined) continue;
    const place = placeOf(tenant.tenantId, resource, sealed, row);
    columns[sealed.column] =
      value === null ? null : await cipher().seal(place, toText(value), { keyArn: await keyOf(tenant) });
  }
  return columns;
}

/**
 * The encrypted fields of rows by their names in JSON; null where a column is empty.
 * @throws {EncryptedValueDamaged | KeyUnavailable}
 */
export async function openRows(
  tenant: TenantAccess,
  resource: Resource,
  rows: readonly { readonly id: string; readonly sealed: SealedColumns }[],
): Promise<Values[]> {
  const opened: Values[] = [];
  for (let at = 0; at < rows.length; at += ROWS_AT_ONCE) {
    const some = rows.slice(at, at + ROWS_AT_ONCE);
    opened.push(...(await Promise.all(some.map((row) => openRow(tenant, resource, row)))));
  }
  return opened;
}

async function openRow(
  { tenantId }: TenantAccess,
  resource: Resource,
  { id, sealed }: { readonly id: string; readonly sealed: SealedColumns },
): Promise<Values> {
  const fields: Record<string, unknown> = {};
  for (const each of resource.sealed ?? []) {
    const bytes = sealed[each.column];
    fields[each.field] = bytes
      ? fromText(each, await cipher().open(placeOf(tenantId, resource, each, id), bytes))
      : null;
  }
  return fields;
}

const toText = (value: unknown): string => (typeof value === 'number' ? value.toFixed(2) : String(value));
const fromText = ({ type }: SealedField, text: string): unknown => (type === 'decimal' ? Number(text) : text);

/**
 * The hash of a body with encrypted fields, which must not be stored as it is: with a body's other fields known, the few
 * possible numbers could be tried. It is stored encrypted, as the fields are.
 */
export function encryptedHash(tenant: TenantAccess, key: string): KeptHash {
  const place = { tenantId: tenant.tenantId, table: 'idempotency_keys', column: 'request_hash', row: key };
  return {
    keep: async (hash) =>
      PREFIX + (await cipher().seal(place, hash, { keyArn: await keyOf(tenant) })).toString('base64'),
    equals: async (kept, hash) => {
      if (!kept.startsWith(PREFIX)) return false;
      const opened = await cipher().open(place, Buffer.from(kept.slice(PREFIX.length), 'base64'));
      const [one, other] = [opened, hash].map((text) => createHash('sha256').update(text).digest());
      return timingSafeEqual(one as Buffer, other as Buffer);
    },
  };
}

const PREFIX = 'encrypted:';
