/**
 * Comparing two copies of a tenant's tables by counts and hashes of their rows.
 *
 * `compareSides` compares whole tables in one snapshot, which both sides of a reshape share. `compareRange` compares a range
 * of keys in two databases, for a relocate: the source is not written any more, the target is in use and captures the keys
 * that are written there.
 */
import type pg from 'pg';
import { identifier, qualified } from '../ddl/identifier.ts';
import type { TenantTable } from '../tables/tenant-table.ts';
import { inTransaction } from './claim.ts';
import { ofTenant, rowsOf, type Side, type Sides } from './reshape/sides.ts';

/** A key's values, in the order of the primary key's columns. */
export type Key = readonly string[];

/** Rows behind `after` up to and including `upTo`; without a bound, from the first or to the last row there is. */
export interface KeyRange {
  readonly after: Key | null;
  readonly upTo: Key | null;
}

export interface RangeContent {
  readonly rows: number;
  /** A sum of hashes; larger than a JavaScript number can be. */
  readonly hash: bigint;
}

/**
 * The key that ends a range of that many rows, or null where fewer are left.
 * Text is ordered byte by byte, because two databases may have different collations.
 */
export async function rangeEnd(
  owner: pg.ClientBase,
  schemaName: string,
  table: TenantTable,
  after: Key | null,
  rows: number,
): Promise<Key | null> {
  const keys = table.primaryKey.map((name) => `${identifier(name)}::text as ${identifier(name)}`);
  const found = await owner.query<Record<string, string>>(
    `select ${keys.join(', ')} from ${qualified(schemaName, table.name)} t where ${within(table, { after, upTo: null })}
     order by ${orderedKey(table).join(', ')} offset ${rows - 1} limit 1`,
    [...(after ?? [])],
  );
  const [row] = found.rows;
  return row ? table.primaryKey.map((name) => row[name]!) : null;
}

/**
 * Content of a range on both sides, without the rows that were written at the target since its capture began.
 * @returns undefined where the capture has ended, or the target is the place of another epoch.
 */
export async function compareRange(
  source: { readonly owner: pg.ClientBase; readonly schemaName: string },
  target: { readonly owner: pg.ClientBase; readonly schemaName: string },
  { tenantId, epoch }: { readonly tenantId: string; readonly epoch: number },
  table: TenantTable,
  range: KeyRange,
): Promise<{ readonly source: RangeContent; readonly target: RangeContent } | undefined> {
  return inTransaction(target.owner, 'repeatable read', 300, async () => {
    // In the snapshot of the comparison: keys are removed only after the capture has ended.
    const { rowCount } = await target.owner.query(
      'select from tenancy.placement where tenant_id = $1 and epoch = $2 and schema_name = $3 and capture',
      [tenantId, epoch, target.schemaName],
    );
    if (rowCount === 0) return undefined;
    const written = await writtenKeys(target.owner, tenantId, table, range);
    const [claimedModestly, atTarget] = await Promise.all(
      [source, target].map(({ owner, schemaName }) =>
        contentWithout(owner, schemaName, table, range, written),
      ),
    );
    return { source: claimedModestly!, target: atTarget! };
  });
}

/** As the JSON of an array of objects. */
async function writtenKeys(
  target: pg.ClientBase,
  tenantId: string,
  table: TenantTable,
  range: KeyRange,
): Promise<string> {
  const bounds = boundsOf(range);
  const n = bounds.length;
  const { rows } = await target.query<{ keys: string }>(
    `select coalesce(pg_catalog.json_agg(distinct c.row_key::text)::text, '[]') as keys
     from tenancy.captured_changes c,
       lateral pg_catalog.jsonb_to_record(c.row_key) as t(${keyDefinition(table)})
     where c.tenant_id = $${n + 1} and c.table_name = $${n + 2} and ${within(table, range)}`,
    [...bounds, tenantId, table.name],
  );
  const keys = JSON.parse(rows[0]!.keys) as string[];
  return `[${keys.join(',')}]`;
}

async function contentWithout(
  owner: pg.ClientBase,
  schemaName: string,
  table: TenantTable,
  range: KeyRange,
  written: string,
): Promise<RangeContent> {
  const bounds = boundsOf(range);
  const same = table.primaryKey.map((name) => `w.${identifier(name)} = t.${identifier(name)}`);
  // Most ranges have no such rows, and the query is planned better without the condition.
  const without =
    written === '[]'
      ? ''
      : `and not exists (select from pg_catalog.jsonb_to_recordset($${bounds.length + 1}::jsonb)
           as w(${keyDefinition(table)}) where ${same.join(' and ')})`;
  const { rows } = await owner.query<{ rows: string; hash: string }>(
    `select ${contentOf(table, 't')} from ${qualified(schemaName, table.name)} t
     where ${within(table, range)} ${without}`,
    without ? [...bounds, written] : bounds,
  );
  const [content] = rows;
  return { rows: Number(content!.rows), hash: BigInt(content!.hash) };
}

/** The condition that rows `t` are in the range, with its bounds as the first parameters. */
function within(table: TenantTable, { after, upTo }: KeyRange): string {
  const key = `(${orderedKey(table).join(', ')})`;
  let n = 0;
  const bound = () => `(${table.primaryKey.map((name) => `$${++n}::${typeOf(table, name)}`).join(', ')})`;
  const conditions = [...(after ? [`${key} > ${bound()}`] : []), ...(upTo ? [`${key} <= ${bound()}`] : [])];
  return conditions.join(' and ') || 'true';
}

const boundsOf = ({ after, upTo }: KeyRange): string[] => [...(after ?? []), ...(upTo ?? [])];

function orderedKey(table: TenantTable): string[] {
  return table.primaryKey.map(
    (name) => `t.${identifier(name)}${typeOf(table, name) === 'text' ? ' collate "C"' : ''}`,
  );
}

const typeOf = ({ columns }: TenantTable, name: string) => columns[name]!.spec.type;

const keyDefinition = (table: TenantTable) =>
  table.primaryKey.map((name) => `${identifier(name)} ${typeOf(table, name)}`).join(', ');

/** What a table holds on both sides of a move. */
export interface TableContent {
  readonly name: string;
  /** At the source. */
  readonly rows: number;
  readonly targetRows: number;
  readonly sourceHash: string;
  readonly targetHash: string;
}

/** Counts and hashes of all tables on both sides. The caller's transaction has one snapshot, and has entered. */
export async function compareSides(owner: pg.ClientBase, sides: Sides): Promise<TableContent[]> {
  const content = async (side: Side, table: Sides['tables'][number]) => {
    const { rows } = await owner.query<{ rows: string | number; hash: string }>(
      `SELECT ${contentOf(table, 'r')} FROM ${rowsOf(side, table, 'r')} WHERE ${ofTenant(side, 'r', sides.tenantId)}`,
    );
    return { rows: Number(rows[0]?.rows), hash: String(rows[0]?.hash) };
  };
  const contents: TableContent[] = [];
  for (const table of sides.tables) {
    const source = await content(sides.source, table);
    const target = await content(sides.target, table);
    contents.push({
      name: table.name,
      rows: source.rows,
      targetRows: target.rows,
      sourceHash: source.hash,
      targetHash: target.hash,
    });
  }
  return contents;
}

export function isEqual({ rows, targetRows, sourceHash, targetHash }: TableContent): boolean {
  return rows === targetRows && sourceHash === targetHash;
}

/**
 * SQL of a row's content as a 64-bit hash, the same under all isolation models; the sum of the hashes of a set of rows does
 * not depend on their order. NULLs count, and so do all column types that we use (`json`, which has no such hash, is not used).
 * @param alias of the row in the query.
 */
export function rowHash({ columns }: TenantTable, alias: string): string {
  const values = Object.keys(columns).map((name) => `${alias}.${identifier(name)}`);
  return `pg_catalog.hash_record_extended(ROW(${values.join(', ')}), 0)`;
}

/** Count and summed hash of a query's rows, as `rows` (bigint) and `hash` (numeric as text). */
export function contentOf(table: TenantTable, alias: string): string {
  return `count(*) AS rows, coalesce(sum(${rowHash(table, alias)}), 0)::text AS hash`;
}
