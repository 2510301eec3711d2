/**
 * Encrypts a tenant's stored values again, page by page, as requests write: inside transactions that enter the tenant. So
 * a rotation follows the tenant through a move, waits at a fence, and its changes are captured like any other.
 *
 * Invariants
 * - a value is replaced only if it still is the one that was read (compare and set): a write in between is never lost;
 * - a value keeps its id, and the row its `updated_at`: entity tags stay as they were;
 * - a value that cannot be opened stays as it is, and is counted;
 * - KMS is called between the transactions, never within one.
 */
import { type RawBuilder, type SqlBool, sql } from 'kysely';
import { tenantStatement } from '../database/session/tenant-sql.ts';
import type { TenantAccess } from '../placement/tenant-router.ts';
import { employees } from '../tenant-data/employees.ts';
import { COMPARED, timeBytes } from '../tenant-data/encrypted-value.ts';
import { EncryptedValueDamaged } from '../tenant-data/errors.ts';
import type { FieldCipher } from '../tenant-data/field-cipher.ts';
import { anyTable, type Resource } from '../tenant-data/resource.ts';

/** Values that are not under this key, or whose data key is older, are encrypted again. */
export interface Freshness {
  /** ARN of the KMS key. */
  readonly keyArn: string;
  /** In seconds since 1970. */
  readonly staleBefore: number;
}

export interface RotatedPage {
  /** Values that were replaced. */
  readonly done: number;
  /** Values that could not be opened. */
  readonly damaged: number;
  /** Id of the last row; undefined when no row was left. */
  readonly last: string | undefined;
}

export interface RotatePageOptions extends Freshness {
  readonly cipher: FieldCipher;
  /** Id of the last row that was handled before. */
  readonly after: string | undefined;
  readonly rows?: number;
  /** Called for each value that could not be opened. */
  readonly onDamaged?: (error: EncryptedValueDamaged) => void;
}

/** The one resource with encrypted fields. Another one needs a place in the cursor. */
const RESOURCE: Resource = employees.resource;
const KEY = RESOURCE.key[0] as string;
const COLUMNS = (RESOURCE.sealed ?? []).map(({ column }) => column);
/** A page is locked by one statement: requests for its rows wait that long. */
const PAGE_ROWS = 100;

interface Found {
  readonly [column: string]: string | Buffer | null;
}

/**
 * Handles the next rows that have a stale value.
 * @throws {KeyUnavailable} nothing of the page was changed; and the errors of the tenant's router.
 */
export async function rotatePage(
  tenant: TenantAccess,
  { cipher, after, rows = PAGE_ROWS, onDamaged, ...freshness }: RotatePageOptions,
): Promise<RotatedPage> {
  const [found] = await tenant.batch('read', [selectStale(freshness, after, rows)]);
  let damaged = 0;
  const replace = async (row: Found, column: string) => {
    const old = row[column] as Buffer | null;
    if (old === null) return undefined;
    const place = { tenantId: tenant.tenantId, table: RESOURCE.table, column, row: row[KEY] as string };
    try {
      const options = { keyArn: freshness.keyArn, notBefore: freshness.staleBefore };
      return { old, fresh: await cipher.reseal(place, place, old, options) };
    } catch (error) {
      if (!(error instanceof EncryptedValueDamaged)) throw error;
      damaged += 1;
      onDamaged?.(error);
      return undefined;
    }
  };
  const replacements = await Promise.all(
    found.map(async (row) => ({
      id: row[KEY] as string,
      values: await Promise.all(COLUMNS.map((column) => replace(row, column))),
    })),
  );
  const changed = replacements.filter(({ values }) => values.some((value) => value !== undefined));
  let done = 0;
  if (changed.length > 0) {
    const [counts] = await tenant.batch('write', [updateValues(changed)]);
    done = counts.reduce((sum, { replaced }) => sum + replaced, 0);
  }
  return { done, damaged, last: found.at(-1)?.[KEY] as string | undefined };
}

function selectStale({ keyArn, staleBefore }: Freshness, after: string | undefined, rows: number) {
  const stale = sql.join(
    COLUMNS.map((column) => isStale(column, keyArn, staleBefore)),
    sql` OR `,
  );
  return anyTable
    .selectFrom(RESOURCE.table)
    .select([KEY, ...COLUMNS])
    .where(sql<SqlBool>`(${stale})`)
    .$if(after !== undefined, (query) => query.where(KEY, '>', after))
    .orderBy(KEY)
    .limit(rows)
    .$castTo<Found>();
}

function isStale(column: string, keyArn: string, staleBefore: number): RawBuilder<SqlBool> {
  const { madeAt, key } = COMPARED;
  const wanted = key.bytes(keyArn);
  return sql<SqlBool>`(substring(${sql.ref(column)} from ${sql.lit(key.from)} for ${sql.lit(wanted.length)}) <> ${wanted}::bytea
    OR substring(${sql.ref(column)} from ${sql.lit(madeAt.from)} for ${sql.lit(madeAt.length)}) < ${timeBytes(staleBefore)}::bytea)`;
}

interface Replacement {
  readonly id: string;
  /** In the order of the columns. */
  readonly values: readonly ({ readonly old: Buffer; readonly fresh: Buffer } | undefined)[];
}

/** Returns for each row how many of its values were replaced. */
function updateValues(replacements: readonly Replacement[]) {
  const target = (column: string) => sql`target.${sql.ref(column)}`;
  const name = (column: string, which: 'old' | 'fresh') => sql.ref(`${which}_${column}`);
  const lists = COLUMNS.flatMap((column, index) =>
    (['old', 'fresh'] as const).map((which) => {
      const list = replacements.map(({ values }) => values[index]?.[which] ?? null);
      return sql`unnest(${list}::bytea[]) AS ${name(column, which)}`;
    }),
  );
  // A column whose value was changed meanwhile, or has no replacement, keeps it.
  const isSame = (column: string) => sql`${target(column)} = given.${name(column, 'old')}`;
  const assignments = COLUMNS.map(
    (column) =>
      sql`${sql.ref(column)} = CASE WHEN ${isSame(column)} THEN given.${name(column, 'fresh')} ELSE ${target(column)} END`,
  );
  const counts = COLUMNS.map(
    (column) => sql`(coalesce(${target(column)} = given.${name(column, 'fresh')}, false))::integer`,
  );
  const ids = replacements.map(({ id }) => id);
  return tenantStatement(sql<{ replaced: number }>`UPDATE ${sql.table(RESOURCE.table)} AS target
    SET ${sql.join(assignments)}
    FROM (SELECT unnest(${ids}::uuid[]) AS id, ${sql.join(lists)}) AS given
    WHERE target.${sql.ref(KEY)} = given.id AND (${sql.join(COLUMNS.map(isSame), sql` OR `)})
    RETURNING ${sql.join(counts, sql` + `)} AS replaced`);
}
