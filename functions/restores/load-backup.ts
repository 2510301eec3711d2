/**
 * Loads a backup's parts into a bare schema and compares its tables with the manifest. Restores and drills share it.
 * One transaction loads a part and records that in the schema itself: so a part is loaded once, even if the work is cut
 * off and repeated.
 */
import type pg from 'pg';
import type { ObjectStore } from '../aws/object-store.ts';
import type { ManifestPart, ManifestTable } from '../backups/manifest.ts';
import { compareWithManifest, loadPart, readPart } from '../backups/read-back.ts';
import { qualified } from '../database/ddl/identifier.ts';
import type { PhaseProgress } from '../moves/hop.ts';
import { asOwnerOf } from '../places/place-database.ts';

/** The loaded rows, for the report. */
export interface Filled {
  readonly rows: number;
  /** Size in PostgreSQL's COPY format; 0 for an undo, which reads no backup. */
  readonly bytes: number;
  readonly tables: readonly { readonly name: string; readonly rows: number }[];
}

/** Runs one transaction on a connection of the schema's owner. */
export type LoaderTransaction = (loader: pg.Client, work: () => Promise<void>) => Promise<void>;

export interface LoadedSchema {
  readonly place: Parameters<typeof asOwnerOf>[0];
  readonly tenantId: string;
  readonly schemaName: string;
  readonly tables: readonly ManifestTable[];
  readonly store: ObjectStore;
  readonly transaction: LoaderTransaction;
  /** Prepares a connection. */
  readonly begin?: (loader: pg.Client) => Promise<void>;
  /** On `performance.now()`'s clock: no part or table is begun after it. */
  readonly deadline: number;
  readonly progress: (update: PhaseProgress) => Promise<void>;
}

/** Connections that load in parallel, so that PostgreSQL and this process work at the same time. */
const LOADERS = 2;

/**
 * Loads and compares until the deadline.
 * @returns true once all rows are loaded and equal the manifest; false: call again.
 * @throws {BackupObjectMissing | BackupObjectDamaged | RestoredRowsDiffer} and errors of S3 and PostgreSQL.
 */
export async function loadAndCompare(schema: LoadedSchema): Promise<boolean> {
  const { tables, store, schemaName, tenantId, transaction } = schema;
  const parts = tables.flatMap((table) => table.parts.map((part) => ({ table, part })));
  const total = { rowsTotal: sumOf(tables, 'rows'), bytesTotal: sumOf(tables, 'rawBytes') };
  const loaded = { rowsDone: 0, bytesDone: 0 };
  const load = async (loader: pg.Client, { table, part }: { table: ManifestTable; part: ManifestPart }) => {
    if (!(await isDone(loader, schemaName, part.key))) {
      const rows = await readPart(store, table, part);
      const work = () => loadPart(loader, { schemaName }, table, rows);
      try {
        await transaction(loader, () => once(loader, schemaName, part.key, work));
      } finally {
        // The stream is still open if another run has loaded the part, or if the transaction did not begin.
        rows.body.destroy();
      }
    }
    loaded.rowsDone += part.rows;
    loaded.bytesDone += part.rawBytes;
    await schema.progress({ ...loaded, ...total });
  };
  if (!(await inParallel(schema, parts, load))) return false;
  const restored = { tenantId, schemaName, isolationModel: 'schema' as const };
  // Each table is compared once: a large tenant takes several calls, and a table that is masked later differs from the
  // backup.
  return inParallel(schema, tables, async (loader, table) => {
    const step = `compared ${table.name}`;
    await schema.progress({});
    if (await isDone(loader, schemaName, step)) return;
    await compareWithManifest(loader, restored, table);
    await transaction(loader, () => once(loader, schemaName, step, async () => {}));
  });
}

const stepsTable = (schemaName: string) => qualified(schemaName, 'restore_steps');

/** SQL that creates the table of completed steps. */
export const createSteps = (schemaName: string) =>
  `CREATE TABLE IF NOT EXISTS ${stepsTable(schemaName)} (step text PRIMARY KEY)`;
export const dropSteps = (schemaName: string) => `DROP TABLE ${stepsTable(schemaName)}`;

/** Does the work in the connection's open transaction, unless an earlier transaction has committed this step. */
export async function once(
  connection: pg.ClientBase,
  schemaName: string,
  step: string,
  work: () => Promise<void>,
): Promise<void> {
  // A concurrent run of the same step waits here until the first transaction ends.
  const { rowCount } = await connection.query(
    `INSERT INTO ${stepsTable(schemaName)} (step) VALUES ($1) ON CONFLICT DO NOTHING`,
    [step],
  );
  if (rowCount !== 0) await work();
}

export async function isDone(connection: pg.ClientBase, schemaName: string, step: string): Promise<boolean> {
  const { rowCount } = await connection.query(`SELECT FROM ${stepsTable(schemaName)} WHERE step = $1`, [
    step,
  ]);
  return rowCount !== 0;
}

/**
 * Processes items on several connections. After a failure no further item is begun. All connections are closed at the
 * end.
 * @returns whether all items were begun before the deadline.
 */
async function inParallel<Item>(
  schema: LoadedSchema,
  items: readonly Item[],
  work: (loader: pg.Client, item: Item) => Promise<void>,
): Promise<boolean> {
  const queue = [...items];
  let failed = false;
  const lane = () =>
    asLoader(schema, async (loader) => {
      while (!failed && performance.now() <= schema.deadline) {
        const item = queue.shift();
        if (item === undefined) return;
        await work(loader, item).catch((error: unknown) => {
          failed = true;
          throw error;
        });
      }
    });
  const lanes = await Promise.allSettled(Array.from({ length: LOADERS }, lane));
  for (const each of lanes) if (each.status === 'rejected') throw each.reason;
  return queue.length === 0;
}

/** Runs work on a connection of the schema's owner. The connection is not pipelined, so it can carry a COPY stream. */
export function asLoader<Result>(
  { place, begin }: Pick<LoadedSchema, 'place' | 'begin'>,
  work: (loader: pg.Client) => Promise<Result>,
): Promise<Result> {
  return asOwnerOf(
    place,
    async (loader) => {
      await begin?.(loader);
      return work(loader);
    },
    { pipeline: false },
  );
}

export const sumOf = (tables: readonly ManifestTable[], key: 'rows' | 'rawBytes'): number =>
  tables.reduce((sum, table) => sum + table[key], 0);
