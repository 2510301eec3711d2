/**
 * The schema in which a moving tenant arrives: first bare tables, which take rows quickly, then the rest of them.
 *
 *   none ──createArrivingSchema──▶ bare ──runs of missingPieces──▶ whole ──sealArrivingSchema──▶ as createTenantSchema makes it
 *
 * Invariants: a bare table has its checks, and its primary key where the caller has asked for it; the tables' history is
 * written last, so that a schema without one is never taken for a finished one.
 */
import type pg from 'pg';
import { ddlTransaction, lockForDdl, runStatements } from '../ddl/ddl-connection.ts';
import { assertUuid, identifier, literal, qualified } from '../ddl/identifier.ts';
import { ensureRequestRole } from '../provisioning/data-roles.ts';
import { commentOf, refuseForeignSchema, type TenantSchemaOptions } from '../provisioning/tenant-schema.ts';
import { isolatedTarget, migrateTenantTables } from '../tables/migrate-tenant-tables.ts';
import {
  CAPTURE_TRIGGER,
  captureChanges,
  createForeignKeys,
  createIndexes,
  createTable,
  foreignKeyName,
  grantRows,
  primaryKey,
  type RenderTarget,
  uniqueKeys,
} from '../tables/render-tables.ts';
import { migrationsUpTo } from '../tables/tenant-migrations.ts';
import type { TenantTable } from '../tables/tenant-table.ts';
import { tenantTablesAt } from '../tables/tenant-tables.ts';

/** A schema of which only the tables count. */
export type TablesOfSchema = Pick<ArrivingSchema, 'schemaName' | 'schemaVersion'>;

export interface ArrivingSchema extends Omit<TenantSchemaOptions, 'migrations'> {
  /** Version of the tables where they come from, and here until the move has ended. */
  readonly schemaVersion: number;
}

/**
 * Creates schema, login role and bare tables, or finds them. One transaction: safe to kill and to repeat.
 * @param isKeyed which tables have their primary key from the start.
 * @param inTransaction the transaction; one of its own when absent.
 * @throws {TenantSchemaInUse} when the schema is another tenant's.
 */
export async function createArrivingSchema(
  owner: pg.ClientBase,
  options: ArrivingSchema,
  isKeyed: (table: string) => boolean,
  inTransaction: typeof ddlTransaction = ddlTransaction,
): Promise<void> {
  const { tenantId, schemaName, roleName, schemaVersion } = options;
  assertUuid(tenantId);
  await inTransaction(owner, async (transaction) => {
    await lockForDdl(transaction, schemaName);
    await refuseForeignSchema(transaction, schemaName, tenantId);
    await ensureRequestRole(transaction, options);
    const target = isolatedTarget(schemaName, roleName);
    const known = await existingTables(owner, schemaName);
    await runStatements(transaction, [
      `CREATE SCHEMA IF NOT EXISTS ${identifier(schemaName)}`,
      `COMMENT ON SCHEMA ${identifier(schemaName)} IS ${literal(commentOf(tenantId))}`,
      // By which the role is known to be in use, should another schema of the tenant be dropped.
      `GRANT USAGE ON SCHEMA ${identifier(schemaName)} TO ${identifier(roleName)}`,
      ...tenantTablesAt(schemaVersion)
        .filter(({ name }) => !known.has(name))
        .flatMap((table) => createTable(target, table, { keys: isKeyed(table.name) ? 'primary' : 'none' })),
    ]);
  });
}

/** Something that a bare table lacks, and the statement that adds it. */
export interface Piece {
  readonly name: string;
  readonly table: string;
  /**
   * A foreign key comes after the key that it refers to, and without a look at the rows: that look is its check, which
   * locks neither of the two tables against those of others.
   */
  readonly kind: 'primary key' | 'unique' | 'index' | 'foreign key' | 'check' | 'trigger';
  readonly statement: string;
}

/** At the end of the name of a foreign key's check. */
const CHECKED = ' checked';

/**
 * What is still missing of the whole, in the order in which it can be added. Each statement stands for itself; keys and
 * indexes of different tables may be built, and their foreign keys be checked, side by side. Run by two at once, one of
 * them fails (42P07, 42710).
 */
export async function missingPieces(
  owner: pg.ClientBase,
  { schemaName, schemaVersion }: TablesOfSchema,
): Promise<Piece[]> {
  const tables = tenantTablesAt(schemaVersion);
  const { rows } = await owner.query<{ piece: string }>(
    `select c.relname || ' ' || k.conname || suffix as piece
     from pg_catalog.pg_constraint k join pg_catalog.pg_class c on c.oid = k.conrelid
       join pg_catalog.pg_namespace n on n.oid = c.relnamespace
       cross join unnest(array['', $2]) suffix
     where n.nspname = $1 and (k.convalidated or suffix = '')
     union all
     select tablename || ' ' || indexname from pg_catalog.pg_indexes where schemaname = $1
     union all
     select c.relname || ' ' || t.tgname
     from pg_catalog.pg_trigger t join pg_catalog.pg_class c on c.oid = t.tgrelid
       join pg_catalog.pg_namespace n on n.oid = c.relnamespace where n.nspname = $1`,
    [schemaName, CHECKED],
  );
  const present = new Set(rows.map(({ piece }) => piece));
  const target: RenderTarget = { model: 'isolated', schema: schemaName, requestRole: '' };
  const keyPiece =
    (table: TenantTable) =>
    ({ name, definition }: ReturnType<typeof primaryKey>) => ({
      name: name.slice(1, -1),
      statement: `ALTER TABLE ${qualified(schemaName, table.name)} ADD CONSTRAINT ${name} ${definition}`,
    });
  const of = (kind: Piece['kind'], pieces: (table: TenantTable) => { name: string; statement: string }[]) =>
    tables.flatMap((table) => pieces(table).map((piece) => ({ ...piece, table: table.name, kind })));
  return [
    ...of('primary key', (table) => [primaryKey(target, table)].map(keyPiece(table))),
    ...of('unique', (table) => uniqueKeys(target, table).map(keyPiece(table))),
    ...of('index', (table) =>
      table.indexes.flatMap((index) =>
        createIndexes(target, { ...table, indexes: [index] }).map((statement) => ({
          name: `idx_${table.name}_${index.name}`,
          statement,
        })),
      ),
    ),
    ...of('foreign key', (table) =>
      table.foreignKeys.flatMap((key) =>
        createForeignKeys(target, { ...table, foreignKeys: [key] }).map((statement) => ({
          name: foreignKeyName(table, key),
          statement: `${statement} NOT VALID`,
        })),
      ),
    ),
    ...of('check', (table) =>
      table.foreignKeys.map((key) => {
        const name = foreignKeyName(table, key);
        const validate = `VALIDATE CONSTRAINT ${identifier(name)}`;
        return {
          name: name + CHECKED,
          statement: `ALTER TABLE ${qualified(schemaName, table.name)} ${validate}`,
        };
      }),
    ),
    ...of('trigger', (table) =>
      captureChanges(target, table).map((statement) => ({ name: CAPTURE_TRIGGER, statement })),
    ),
  ].filter(({ table, name }) => !present.has(`${table} ${name}`));
}

/**
 * Lets requests in and writes the history, as if every migration up to that version had run here. The schema is whole by then. May be
 * repeated.
 * @param inTransaction the transaction; one of its own when absent.
 */
export async function sealArrivingSchema(
  owner: pg.ClientBase,
  { schemaName, roleName, schemaVersion }: TablesOfSchema & Pick<ArrivingSchema, 'roleName'>,
  inTransaction: typeof ddlTransaction = ddlTransaction,
): Promise<void> {
  const target = isolatedTarget(schemaName, roleName);
  const done = migrationsUpTo(schemaVersion).map(({ name }) => ({ name, up: () => [] }));
  await inTransaction(owner, async (transaction) => {
    await lockForDdl(transaction, schemaName);
    await migrateTenantTables(transaction, target, done);
    await runStatements(
      transaction,
      tenantTablesAt(schemaVersion).flatMap((table) => grantRows(target, table)),
    );
  });
}

async function existingTables(owner: pg.ClientBase, schemaName: string): Promise<Set<string>> {
  const { rows } = await owner.query<{ name: string }>(
    'select tablename as name from pg_catalog.pg_tables where schemaname = $1',
    [schemaName],
  );
  return new Set(rows.map(({ name }) => name));
}
