import type pg from 'pg';
import { literal } from '../ddl/identifier.ts';
import { sqlStateOf } from '../session/sql-state.ts';
import { missingPieces, type Piece } from './arriving-schema.ts';

/** For each of the connections that build side by side. */
const MEMORY = '256MB';
/** There already: 42P07 as an index, 42710 as a constraint or trigger, 23505 in the catalogue, a moment ago. */
const BUILT_MEANWHILE = new Set(['42P07', '42710', '23505']);

/**
 * Builds what the arriving schema lacks: first keys and indexes, a table on each of the connections, then foreign keys
 * and triggers one after the other. Each is one statement, which PostgreSQL finishes also when nobody waits for it any
 * more; who comes again waits for it, or finds it there.
 * @param built is told of each; nothing more is begun once it throws.
 */
export async function buildPieces(
  connections: readonly pg.ClientBase[],
  schemaName: string,
  built: () => Promise<void> = async () => {},
): Promise<void> {
  const [first] = connections;
  if (!first) throw new TypeError('there is no connection');
  const missing = await missingPieces(first, schemaName);
  const build = async (connection: pg.ClientBase, pieces: readonly Piece[]) => {
    for (const piece of pieces) {
      await buildPiece(connection, schemaName, piece);
      await built();
    }
  };
  const perTable = new Map<string, Piece[]>();
  for (const piece of missing.filter(({ kind }) => kind === 'unique' || kind === 'index')) {
    perTable.set(piece.table, [...(perTable.get(piece.table) ?? []), piece]);
  }
  const queue = [...perTable.values()];
  await Promise.all(
    connections.map(async (connection) => {
      for (let pieces = queue.shift(); pieces; pieces = queue.shift()) await build(connection, pieces);
    }),
  );
  await build(
    first,
    missing.filter(({ kind }) => kind === 'foreign key' || kind === 'trigger'),
  );
}

async function buildPiece(connection: pg.ClientBase, schemaName: string, piece: Piece): Promise<void> {
  const lock = literal(`strata build ${schemaName} ${piece.table} ${piece.name}`);
  try {
    // One message, hence one transaction, and one that is sent whole. Another's build of the same piece ends first.
    await connection.query(
      `SET LOCAL maintenance_work_mem = '${MEMORY}';
       SELECT pg_catalog.pg_advisory_xact_lock(pg_catalog.hashtextextended(${lock}, 0));
       ${piece.statement}`,
    );
  } catch (error) {
    if (!BUILT_MEANWHILE.has(sqlStateOf(error) ?? '')) throw error;
    // A row that breaks a unique key has the same code as a race for the name.
    const missing = await missingPieces(connection, schemaName);
    if (missing.some(({ table, name }) => table === piece.table && name === piece.name)) throw error;
  }
}
