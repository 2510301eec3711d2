import type pg from 'pg';
import { endLockHolders } from '../ddl/ddl-connection.ts';
import { literal, qualified } from '../ddl/identifier.ts';
import { sqlStateOf } from '../session/sql-state.ts';
import { missingPieces, type Piece, type TablesOfSchema } from './arriving-schema.ts';

/** How much of the machine a build may take. */
export interface BuildPower {
  /** For each connection. */
  readonly memory: '128MB' | '256MB';
  /** Processes beside the connection's own. */
  readonly workers: number;
}

/**
 * There already: 42P07 as an index, 42710 as a constraint or trigger, 42P16 as a primary key, 23505 in the catalogue, a
 * moment ago.
 */
const BUILT_MEANWHILE = new Set(['42P07', '42710', '42P16', '23505']);

/**
 * Dozens of small transactions, whose flushes others in the cell would wait behind. What a crash of the server takes
 * away is missing then, and built again; whoever seals the schema flushes all that was built before.
 */
const UNFLUSHED = 'SET LOCAL synchronous_commit = off';

/**
 * Builds what the arriving schema lacks: keys and indexes, a table on each of the connections; then foreign keys, which
 * are checked in the same manner; then triggers. Each is one statement, which PostgreSQL finishes also when nobody waits
 * for it any more; who comes again waits for it, or finds it there.
 * @param proceed is asked before each; nothing more is begun once it answers false, or throws.
 * @returns whether all of it is there.
 */
export async function buildPieces(
  connections: readonly pg.ClientBase[],
  schema: TablesOfSchema,
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

/** The largest tables first, so that no connection is left alone with one of them. */
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
 * Builds one piece, or finds it. Sent as one message at once: it waits for who is at work in the table, and whoever comes
 * later waits for it.
 */
export async function buildPiece(
  connection: pg.ClientBase,
  schema: TablesOfSchema,
  piece: Piece,
  { memory, workers }: BuildPower,
): Promise<void> {
  const lock = `strata build ${schema.schemaName} ${piece.table} ${piece.name}`;
  await endLockHolders(connection, lock);
  try {
    // One message, hence one transaction, and one that is sent whole. Another's build of the same piece ends first.
    await connection.query(
      `${UNFLUSHED}; SET LOCAL maintenance_work_mem = '${memory}';
       SET LOCAL max_parallel_maintenance_workers = ${workers};
       SELECT pg_catalog.pg_advisory_xact_lock(pg_catalog.hashtextextended(${literal(lock)}, 0));
       ${piece.statement}`,
    );
  } catch (error) {
    if (!BUILT_MEANWHILE.has(sqlStateOf(error) ?? '')) throw error;
    // A row that breaks a unique key has the same code as a race for the name.
    const missing = await missingPieces(connection, schema);
    if (missing.some(({ table, name }) => table === piece.table && name === piece.name)) throw error;
  }
}

/**
 * Statistics of what has arrived, a table on each connection: autovacuum would come only after the first requests.
 * `rough` ones take a tenth of the time and suffice to choose an index by. Autovacuum would leave them as they are for
 * long: full ones must follow.
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
