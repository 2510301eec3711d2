/**
 * A schema that is filled from another place: bare tables first, which take rows quickly, then keys, indexes and triggers.
 *
 *   none ──createBareSchema──▶ bare ──buildPieces (until missingPieces is empty)──▶ whole ──sealSchema──▶ as createTenantSchema
 *                                                                                                          makes it
 *
 * Invariants: a bare table has its checks, and its primary key where the caller asks for it; the tables' history is written
 * last, so that a schema without one is never taken for a finished one.
 */
import type pg from 'pg';
import { ddlTransaction, endLockHolders, lockForDdl, runStatements } from '../ddl/ddl-connection.ts';
import { assertUuid, identifier, literal, qualified } from '../ddl/identifier.ts';
import { ensureRequestRole } from '../provisioning/data-roles.ts';
import { commentOf, refuseForeignSchema, type TenantSchemaOptions } from '../provisioning/tenant-schema.ts';
import { sqlStateOf } from '../session/sql-state.ts';
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
import { createSkillsSummary, SKILLS_SUMMARY_SINCE } from '../tables/skills-summary.ts';
import { CAPTURE_SINCE, migrationsUpTo } from '../tables/tenant-migrations.ts';
import type { TenantTable } from '../tables/tenant-table.ts';
import { tenantTablesAt } from '../tables/tenant-tables.ts';

/** Which tables a schema has. */
export type SchemaTables = Pick<BareSchema, 'schemaName' | 'schemaVersion'>;

export interface BareSchema extends Omit<TenantSchemaOptions, 'migrations'> {
  /** Version of the tables at both places. */
  readonly schemaVersion: number;
}

/**
 * Creates schema, login role and bare tables, or finds them. One transaction: safe to kill and to repeat.
 * @param isKeyed which tables have their primary key from the start.
 * @param inTransaction the transaction; one of its own when absent.
 * @throws {TenantSchemaInUse} when the schema is another tenant's.
 */
export async function createBareSchema(
  owner: pg.ClientBase,
  options: BareSchema,
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
      // It keeps the role when another schema of the tenant is dropped.
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
   * A foreign key is added after the key that it refers to, and NOT VALID: its validation is the piece `check`, which locks
   * neither of the two tables against other pieces.
   */
  readonly kind: 'primary key' | 'unique' | 'index' | 'foreign key' | 'check' | 'trigger';
  readonly statement: string;
}

/** At the end of the name of a foreign key's check. */
const CHECKED = ' checked';

/**
 * What the tables still lack, in the order in which it can be added. Statements are independent: keys and indexes of
 * different tables may be built, and their foreign keys be validated, at the same time. If two connections run the same
 * one, one of them fails (42P07, 42710).
 */
export async function missingPieces(
  owner: pg.ClientBase,
  { schemaName, schemaVersion }: SchemaTables,
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
    ...(schemaVersion < CAPTURE_SINCE
      ? []
      : of('trigger', (table) =>
          captureChanges(target, table).map((statement) => ({ name: CAPTURE_TRIGGER, statement })),
        )),
  ].filter(({ table, name }) => !present.has(`${table} ${name}`));
}

/**
 * Grants requests their rights, creates the summary and writes the history, as if every migration up to that version had run here. Call it when
 * no piece is missing. May be repeated.
 * @param inTransaction the transaction; one of its own when absent.
 */
export async function sealSchema(
  owner: pg.ClientBase,
  { schemaName, roleName, schemaVersion }: SchemaTables & Pick<BareSchema, 'roleName'>,
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
    // Empty: its rows are computed from the target's, not copied.
    if (schemaVersion >= SKILLS_SUMMARY_SINCE) await runStatements(transaction, createSkillsSummary(target));
  });
}

async function existingTables(owner: pg.ClientBase, schemaName: string): Promise<Set<string>> {
  const { rows } = await owner.query<{ name: string }>(
    'select tablename as name from pg_catalog.pg_tables where schemaname = $1',
    [schemaName],
  );
  return new Set(rows.map(({ name }) => name));
}

/** How much of the machine a build may take. */
export interface BuildPower {
  /** For each connection. */
  readonly memory: '128MB' | '256MB';
  /** Processes beside the connection's own. */
  readonly workers: number;
}

/**
 * The piece exists already: 42P07 as an index, 42710 as a constraint or trigger, 42P16 as a primary key; 23505 where another
 * connection has created it at the same time.
 */
const BUILT_MEANWHILE = new Set(['42P07', '42710', '42P16', '23505']);

/**
 * These are dozens of small transactions, and other tenants' commits would wait for their flushes. Pieces that a crash of the
 * server loses are missing and are built again; the commit of `sealSchema` flushes everything before it.
 */
const UNFLUSHED = 'SET LOCAL synchronous_commit = off';

/**
 * Builds what the tables lack: keys and indexes, a table on each of the connections; then foreign keys, validated in the same
 * manner; then triggers. Each is one statement, which PostgreSQL finishes even if its client has gone; a repeated call waits
 * for it, or finds it done.
 * @param proceed is called before each piece; nothing more is begun once it answers false, or throws.
 * @returns whether nothing is missing any more.
 */
export async function buildPieces(
  connections: readonly pg.ClientBase[],
  schema: SchemaTables,
  power: BuildPower,
  proceed: () => Promise<boolean> = async () => true,
): Promise<boolean> {
  const [first] = connections;
  if (!first) throw new TypeError('there is no connection');
  let going = true;
  const build = async (connection: pg.ClientBase, pieces: readonly Piece[]) => {
    for (const piece of pieces) {
      going &&= await proceed();
      if (!going) return;
      await buildPiece(connection, schema, piece, power);
    }
  };
  const missing = await missingPieces(first, schema);
  const sizes = await tableSizes(first, schema.schemaName);
  const sideBySide = async (...kinds: Piece['kind'][]) => {
    const queue = perTable(
      missing.filter(({ kind }) => kinds.includes(kind)),
      sizes,
    );
    await Promise.all(
      connections.map(async (connection) => {
        for (let pieces = queue.shift(); pieces; pieces = queue.shift()) await build(connection, pieces);
      }),
    );
  };
  const oneByOne = (which: Piece['kind']) =>
    build(
      first,
      missing.filter(({ kind }) => kind === which),
    );
  await sideBySide('primary key', 'unique', 'index');
  await oneByOne('foreign key');
  await sideBySide('check');
  await oneByOne('trigger');
  return going;
}

/** The largest tables first, so that no connection is left with a large one at the end. */
function perTable(pieces: readonly Piece[], sizes: ReadonlyMap<string, number>): Piece[][] {
  const grouped = new Map<string, Piece[]>();
  for (const piece of pieces) grouped.set(piece.table, [...(grouped.get(piece.table) ?? []), piece]);
  const size = ([piece]: readonly Piece[]) => sizes.get(piece!.table) ?? 0;
  return [...grouped.values()].sort((one, other) => size(other) - size(one));
}

/** Bytes on disk of each table of a schema, without indexes. */
export async function tableSizes(owner: pg.ClientBase, schemaName: string): Promise<Map<string, number>> {
  const { rows } = await owner.query<{ name: string; bytes: string }>(
    `select c.relname as name, pg_catalog.pg_table_size(c.oid) as bytes
     from pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid = c.relnamespace
     where n.nspname = $1 and c.relkind = 'r'`,
    [schemaName],
  );
  return new Map(rows.map(({ name, bytes }) => [name, Number(bytes)]));
}

/**
 * Builds one piece, or finds it. The statement is sent at once: it queues for the table's lock behind present users of the
 * table, and later ones queue behind it.
 */
export async function buildPiece(
  connection: pg.ClientBase,
  schema: SchemaTables,
  piece: Piece,
  { memory, workers }: BuildPower,
): Promise<void> {
  const lock = `strata build ${schema.schemaName} ${piece.table} ${piece.name}`;
  await endLockHolders(connection, lock);
  try {
    // One message, hence one transaction. Another connection's build of the same piece ends first.
    await connection.query(
      `${UNFLUSHED}; SET LOCAL maintenance_work_mem = '${memory}';
       SET LOCAL max_parallel_maintenance_workers = ${workers};
       SELECT pg_catalog.pg_advisory_xact_lock(pg_catalog.hashtextextended(${literal(lock)}, 0));
       ${piece.statement}`,
    );
  } catch (error) {
    if (!BUILT_MEANWHILE.has(sqlStateOf(error) ?? '')) throw error;
    // A row that violates a unique key has the same code as a race for the name.
    const missing = await missingPieces(connection, schema);
    if (missing.some(({ table, name }) => table === piece.table && name === piece.name)) throw error;
  }
}

/**
 * Gathers statistics of the copied rows, a table on each connection: autovacuum would run only after the first requests.
 * `rough` ones take a tenth of the time and are enough to choose an index. Autovacuum does not replace them for a long time,
 * so full ones must follow.
 */
export async function gatherStatistics(
  connections: readonly pg.ClientBase[],
  schemaName: string,
  tables: readonly { readonly name: string }[],
  precision: 'full' | 'rough' = 'full',
): Promise<void> {
  const target = precision === 'rough' ? 'SET LOCAL default_statistics_target = 10;' : '';
  const queue = [...tables];
  await Promise.all(
    connections.map(async (connection) => {
      for (let table = queue.shift(); table; table = queue.shift())
        await connection.query(`${UNFLUSHED}; ${target} ANALYZE ${qualified(schemaName, table.name)}`);
    }),
  );
}
