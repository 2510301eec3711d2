/**
 * One round of catching up: takes the keys that were noted since the last one, and brings their rows at the target to
 * what the source shows in this very transaction.
 *
 * Before a round the target equals the source at some earlier moment, except rows whose keys are in the log; after it, it
 * equals the source as the transaction sees it. A key and its change are committed together, so a snapshot shows both or
 * neither: which keys to take is decided by visibility alone, never by a sequence number. Let C be the keys taken.
 *
 * All constraints of the target are in force, and every statement satisfies them:
 * 1. Placeholders. A target row of C gets a unique value in its unique columns, unless the source's row has the same values
 *    there. No two placeholders are equal (they contain the primary key), and none is a tenant's (they contain the attempt).
 *    A row of a partial unique index without a column of text leaves that index instead (`otherwise`).
 * 2. Upserts of C's rows, in foreign-key order, one statement a table. Unique keys: a target row that stands in the way
 *    of the source's value cannot have it at the source, where the key is unique too, so it is in C and was given its
 *    placeholder. Foreign keys: a row that the source refers to is at the source; it is at the target too, either because
 *    it is not in C, or because it was upserted earlier or in the same statement, at whose end references are checked.
 *    Nothing was deleted yet.
 * 3. Deletes of C's rows that the source no longer has, in reverse order, one statement a table. A target row that
 *    still refers to such a row does not so at the source, so it is in C (cascades are noted like other changes), and
 *    either an upsert has changed its reference, or it was deleted before, or it is deleted in the same statement. So no cascade
 *    of the target finds anything to do.
 */
import type pg from 'pg';
import { identifier, literal } from '../../ddl/identifier.ts';
import { indexedRows } from '../../tables/render-tables.ts';
import type { Index, TenantTable } from '../../tables/tenant-table.ts';
import { insertFromSource, ofTenant, rowsOf, type Sides } from './sides.ts';

export interface Taken {
  readonly keys: number;
  /** Length of the keys in the log, as text. */
  readonly bytes: number;
  /** The distinct keys of each table, as a JSON array. */
  readonly byTable: ReadonlyMap<string, string>;
}

/** Takes what was noted so far, as this transaction sees it: it is gone when the transaction commits. */
export async function takeChanges(owner: pg.ClientBase, tenantId: string): Promise<Taken> {
  const { rows } = await owner.query<{ name: string; keys: number; list: string }>(
    `with taken as (
       delete from tenancy.captured_changes where tenant_id = $1 returning table_name, row_key
     )
     select table_name as name, pg_catalog.count(*)::integer as keys, pg_catalog.jsonb_agg(row_key)::text as list
     from (select distinct table_name, row_key from taken) as changed group by table_name`,
    [tenantId],
  );
  return {
    keys: rows.reduce((sum, { keys }) => sum + keys, 0),
    bytes: rows.reduce((sum, { list }) => sum + list.length, 0),
    byTable: new Map(rows.map(({ name, list }) => [name, list])),
  };
}

export interface ApplyOptions {
  /** Also runs the statements of tables that have not changed: the session has their plans at hand afterwards. */
  readonly everyTable?: boolean;
}

/**
 * Applies what was taken in the same transaction, which has entered by `enter_move`. The statements run in their order; a
 * connection that pipelines sends them at once. They are named and planned once a session, because planning them takes
 * longer than running them for a few rows; the number of keys, which is all that differs, would not change a plan.
 */
export async function applyChanges(
  owner: pg.ClientBase,
  sides: Sides,
  { byTable }: Taken,
  { everyTable = false }: ApplyOptions = {},
): Promise<void> {
  const changed = sides.tables.filter(({ name }) => everyTable || byTable.has(name));
  const named = (what: string, { name }: TenantTable, text: string): pg.QueryConfig => ({
    name: `${what} ${name}`,
    text,
    values: [byTable.get(name) ?? '[]'],
  });
  const statements = [
    'SET LOCAL plan_cache_mode = force_generic_plan',
    ...changed
      .filter((table) => uniqueRules(table).length > 0)
      .map((table) => named('set aside', table, placeholdersFor(sides, table))),
    ...changed.flatMap((table) => [
      ...(isKeyedDifferently(sides, table) ? [named('replace', table, deleteChanged(sides, table))] : []),
      named('upsert', table, upsertChanged(sides, table)),
    ]),
    ...changed.toReversed().map((table) => named('delete', table, deleteGone(sides, table))),
  ];
  await Promise.all(statements.map((statement) => owner.query(statement)));
}

/** Month partitions make the month a part of the key, which the log does not contain. No row refers to such rows. */
function isKeyedDifferently({ target }: Sides, { sharedPartitioning }: TenantTable): boolean {
  return target.model === 'shared' && sharedPartitioning?.by === 'month';
}

function upsertChanged(sides: Sides, table: TenantTable): string {
  const values = Object.keys(table.columns)
    .filter((name) => !table.primaryKey.includes(name))
    .map((name) => `${identifier(name)} = excluded.${identifier(name)}`);
  const insert = `${insertFromSource(sides, table)} JOIN ${changedKeys(table)} ON ${sameKey(table, 's', 'k')}
    WHERE ${ofTenant(sides.source, 's', sides.tenantId)}`;
  if (isKeyedDifferently(sides, table)) return insert;
  return `${insert}
    ON CONFLICT ON CONSTRAINT ${identifier(`${table.name}_pkey`)} DO UPDATE SET ${values.join(', ')}`;
}

function deleteChanged({ target, tenantId }: Sides, table: TenantTable): string {
  return `DELETE FROM ${rowsOf(target, table, 't')} USING ${changedKeys(table)}
    WHERE ${sameKey(table, 't', 'k')} AND ${ofTenant(target, 't', tenantId)}`;
}

function deleteGone(sides: Sides, table: TenantTable): string {
  const { source, tenantId } = sides;
  return `${deleteChanged(sides, table)} AND NOT EXISTS (
      SELECT FROM ${rowsOf(source, table, 's')} WHERE ${sameKey(table, 's', 'k')} AND ${ofTenant(source, 's', tenantId)}
    )`;
}

function placeholdersFor(sides: Sides, table: TenantTable): string {
  const { source, target, tenantId, attemptId } = sides;
  const key = table.primaryKey.map((name) => `t.${identifier(name)}`).join(` || ' ' || `);
  const placeholder = `${literal(`moving ${attemptId} `)} || ${key}`;
  const assignments = uniqueRules(table).map(({ columns, where }) => {
    if (where && 'otherwise' in where) {
      const name = identifier(where.column);
      return `${name} = CASE WHEN ${indexedRows(where, 't')} THEN ${literal(where.otherwise)} ELSE t.${name} END`;
    }
    return `${identifier(placeholderColumn(table, columns))} = ${placeholder}`;
  });
  const decisive = uniqueRules(table).flatMap(({ columns, where }) => [
    ...columns,
    ...(where ? [where.column] : []),
  ]);
  const differs = [...new Set(decisive)].map(
    (name) => `s.${identifier(name)} IS DISTINCT FROM t.${identifier(name)}`,
  );
  return `UPDATE ${rowsOf(target, table, 't')} SET ${[...new Set(assignments)].join(', ')}
    FROM ${changedKeys(table)} LEFT JOIN ${rowsOf(source, table, 's')}
      ON ${sameKey(table, 's', 'k')} AND ${ofTenant(source, 's', tenantId)}
    WHERE ${sameKey(table, 't', 'k')} AND ${ofTenant(target, 't', tenantId)}
      AND (${table.primaryKey.map((name) => `s.${identifier(name)} IS NULL`).join(' AND ')}
        OR ${differs.join(' OR ')})`;
}

/** Unique keys besides the primary one, and unique indexes. */
export function uniqueRules({ unique, indexes }: TenantTable): Pick<Index, 'columns' | 'where'>[] {
  return [...unique.map((columns) => ({ columns })), ...indexes.filter((index) => index.unique)];
}

/** The column of a unique key that can hold a placeholder. @throws {TypeError} where none can: then a move is impossible. */
export function placeholderColumn({ name, columns }: TenantTable, key: readonly string[]): string {
  const column = key.find((each) => /^(text|character varying)/.test(columns[each]?.spec.type ?? ''));
  if (!column) throw new TypeError(`a unique key of ${name} has no column of text`);
  return column;
}

function changedKeys({ primaryKey, columns }: TenantTable): string {
  const types = primaryKey.map((name) => `${identifier(name)} ${columns[name]?.spec.type}`);
  return `pg_catalog.jsonb_to_recordset($1::jsonb) AS k(${types.join(', ')})`;
}

function sameKey({ primaryKey }: TenantTable, one: string, other: string): string {
  return primaryKey.map((name) => `${one}.${identifier(name)} = ${other}.${identifier(name)}`).join(' AND ');
}
