/**
 * One worker that restores a backup into a schema of its own, over two connections. Argument: JSON of `RestoreOrder`.
 * Prints JSON of `RestoreReport` when it has ended.
 */
import pg from 'pg';
import { ObjectStore } from '../../../functions/aws/object-store.ts';
import {
  type BackupLocation,
  type BackupManifest,
  readManifest,
} from '../../../functions/backups/manifest.ts';
import { backedUpTables } from '../../../functions/backups/plan-backup.ts';
import { compareWithManifest, restorePart, verifyObjects } from '../../../functions/backups/read-back.ts';
import { identifier, qualified } from '../../../functions/database/ddl/identifier.ts';
import {
  createForeignKeys,
  createIndexes,
  createTable,
  primaryKey,
  type RenderTarget,
  uniqueKeys,
} from '../../../functions/database/tables/render-tables.ts';
import { cpuMsSince, untilTold } from '../../backup/measured-process.ts';
import { clientOf } from '../../backup/s3-client.ts';
import type { BucketAddress } from './bucket-process.ts';

export interface RestoreOrder extends BucketAddress {
  readonly location: BackupLocation;
  /** That does not exist yet. */
  readonly schema: string;
  readonly host: string;
  readonly port: number;
  /** PEM of the server's authority. */
  readonly certificate: string;
  readonly database: string;
  readonly owner: { readonly user: string; readonly password: string };
}

export interface RestoreReport {
  /** Milliseconds, one after the other. */
  readonly phases: Readonly<Record<'verify' | 'load' | 'index' | 'compare', number>>;
  /** Bytes. */
  readonly peakMemory: number;
  readonly cpuMs: number;
}

const CONNECTIONS = 2;
const order = JSON.parse(process.argv[2] ?? '') as RestoreOrder;
const s3 = clientOf(order.endpoint);
const store = new ObjectStore(order.bucket, {}, async () => s3);
const target: RenderTarget = { model: 'isolated', schema: order.schema, requestRole: order.owner.user };
await import('@aws-sdk/client-s3');
const connections = await Promise.all(Array.from({ length: CONNECTIONS }, connect));
await untilTold();
const cpu = process.cpuUsage();
const phases: Partial<Record<keyof RestoreReport['phases'], number>> = {};
const { location } = order;
const manifest = await timed('verify', async () => {
  const read = await readManifest(store, location);
  await verifyObjects(store, read);
  return read;
});
await timed('load', () => load(manifest));
await timed('index', () => build(manifest));
await timed('compare', () => compare(manifest));
await Promise.all(connections.map((connection) => connection.end()));
s3.destroy();
const report: RestoreReport = {
  phases: phases as RestoreReport['phases'],
  peakMemory: process.resourceUsage().maxRSS * 1024,
  cpuMs: cpuMsSince(cpu),
};
console.log(JSON.stringify(report));

async function timed<Result>(
  phase: keyof RestoreReport['phases'],
  work: () => Promise<Result>,
): Promise<Result> {
  const start = performance.now();
  const result = await work();
  phases[phase] = performance.now() - start;
  return result;
}

async function connect(): Promise<pg.Client> {
  const { host, port, certificate, database, owner } = order;
  const connection = new pg.Client({ host, port, database, ...owner, ssl: { ca: certificate } });
  await connection.connect();
  return connection;
}

/** Each connection takes the next item when it is through with one. */
async function share<Item>(
  items: readonly Item[],
  work: (connection: pg.Client, item: Item) => Promise<unknown>,
): Promise<void> {
  const waiting = [...items];
  await Promise.all(
    connections.map(async (connection) => {
      for (let item = waiting.shift(); item !== undefined; item = waiting.shift())
        await work(connection, item);
    }),
  );
}

/** Large ones first. */
function bySize<Item extends { readonly rawBytes: number }>(items: readonly Item[]): Item[] {
  return items.toSorted((one, other) => other.rawBytes - one.rawBytes);
}

async function load({ schemaVersion, tables }: BackupManifest): Promise<void> {
  const [connection] = connections as [pg.Client];
  await connection.query(`CREATE SCHEMA ${identifier(order.schema)}`);
  for (const table of backedUpTables(schemaVersion))
    for (const statement of createTable(target, table, { keys: 'none' })) await connection.query(statement);
  const parts = tables.flatMap((table) =>
    table.parts.map((part) => ({ table, part, rawBytes: part.rawBytes })),
  );
  await share(bySize(parts), (loader, { table, part }) =>
    restorePart(loader, { schemaName: order.schema }, table, part, store),
  );
}

async function build({ schemaVersion, tables }: BackupManifest): Promise<void> {
  const known = backedUpTables(schemaVersion);
  const sorted = bySize(tables).map(({ name }) => known.find((table) => table.name === name)!);
  const run = (connection: pg.Client, statement: string) => connection.query(statement);
  await share(sorted, async (connection, table) => {
    const keys = [primaryKey(target, table), ...uniqueKeys(target, table)];
    const added = keys.map(({ name, definition }) => `ADD CONSTRAINT ${name} ${definition}`);
    await run(connection, `ALTER TABLE ${qualified(target.schema, table.name)} ${added.join(', ')}`);
  });
  await share(
    sorted.flatMap((table) => createIndexes(target, table)),
    run,
  );
  await share(
    [known.flatMap((table) => createForeignKeys(target, table))],
    async (connection, statements) => {
      for (const statement of statements) await run(connection, statement);
    },
  );
}

async function compare({ tables }: BackupManifest): Promise<void> {
  const place = { tenantId: location.tenantId, isolationModel: 'schema' as const, schemaName: order.schema };
  await share(bySize(tables), (connection, table) => compareWithManifest(connection, place, table));
}
