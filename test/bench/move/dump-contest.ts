import type pg from 'pg';
import { identifier } from '../../../functions/database/ddl/identifier.ts';
import {
  createForeignKeys,
  createIndexes,
  createTable,
  type RenderTarget,
} from '../../../functions/database/tables/render-tables.ts';
import type { TenantTable } from '../../../functions/database/tables/tenant-table.ts';
import { tenantTables } from '../../../functions/database/tables/tenant-tables.ts';
import { insertBulkRows } from './bulk-rows.ts';
import { type DebianServer, dumpAndRestore, startDebianServer } from './debian-servers.ts';

const DATABASE = 'postgres';

/** A tenant's schema on one of two Debian servers, and the way in which the strategy brings it to the other. */
export interface DumpContest {
  readonly serverVersion: string;
  readonly bytes: number;
  /** The way there, into an empty database. @returns milliseconds */
  run(compression: readonly string[]): Promise<number>;
  stop(): Promise<void>;
}

/**
 * The tables are those of a tenant's own schema, without the triggers of moves and the history of migrations, which need
 * more than a schema to be restored.
 */
export async function startDumpContest(
  schema: string,
  rows: number,
  settings: Readonly<Record<string, string>>,
): Promise<DumpContest> {
  const servers: DebianServer[] = [];
  const stop = async () => {
    await Promise.all(servers.map((server) => server.stop()));
  };
  try {
    for (let n = 0; n < 2; n++) servers.push(await startDebianServer(settings));
    const [from, to] = servers as [DebianServer, DebianServer];
    const [source, target] = [await from.connect(DATABASE), await to.connect(DATABASE)];
    await createSource(source, schema, rows);
    return {
      serverVersion: await versionOf(source),
      bytes: await schemaBytes(source, schema),
      async run(compression) {
        await Promise.all([source, target].map((client) => client.query('CHECKPOINT')));
        const ms = await dumpAndRestore(from, to, schema, DATABASE, compression);
        await target.query(`DROP SCHEMA ${identifier(schema)} CASCADE`);
        return ms;
      },
      stop,
    };
  } catch (error) {
    await stop();
    throw error;
  }
}

/** A tenant's schema with its rows, keys and indexes. */
export async function createSource(source: pg.Client, schema: string, rows: number): Promise<void> {
  const tables: readonly TenantTable[] = tenantTables;
  const target: RenderTarget = { model: 'isolated', schema, requestRole: '' };
  await source.query(`CREATE SCHEMA ${identifier(schema)}`);
  const run = async (statements: readonly string[]) => {
    for (const statement of statements) await source.query(statement);
  };
  await run(tables.flatMap((table) => createTable(target, table)));
  await insertBulkRows(source, schema, rows);
  await run(tables.flatMap((table) => createIndexes(target, table)));
  await run(tables.flatMap((table) => createForeignKeys(target, table)));
  await source.query('VACUUM (ANALYZE)');
}

/** Of its tables with everything that belongs to them. */
export async function schemaBytes(client: pg.ClientBase, schema: string): Promise<number> {
  const { rows } = await client.query<{ bytes: string }>(
    `SELECT sum(pg_total_relation_size(c.oid)) AS bytes
     FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = $1 AND c.relkind = 'r'`,
    [schema],
  );
  return Number(rows[0]?.bytes);
}

/** Without what a distribution adds to it. */
export async function versionOf(client: pg.ClientBase): Promise<string> {
  const { rows } = await client.query<{ server_version: string }>('SHOW server_version');
  return rows[0]?.server_version.split(' ')[0] ?? '';
}
