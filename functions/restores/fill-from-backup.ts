import type pg from 'pg';
import type { ObjectStore } from '../aws/object-store.ts';
import {
  type BackupManifest,
  type ManifestPart,
  type ManifestTable,
  readManifest,
} from '../backups/manifest.ts';
import { compareWithManifest, loadPart, openPart } from '../backups/read-back.ts';
import { auditLog } from '../database/tables/operations-tables.ts';
import { claimedModestly, joinAttempt } from '../database/transfer/reshape/attempt-session.ts';
import type { Filling, HopContext } from '../moves/hop.ts';
import { SNAPSHOT_SECONDS } from '../moves/reshape/reshape-session.ts';
import { asOwnerOf } from '../places/place-database.ts';
import type { RegistryExecutor } from '../registry/data-api.ts';
import type { Filled, Steps } from './fill-target.ts';
import { maskRows } from './mask-rows.ts';
import { findRestorable } from './restore-records.ts';

type FromBackup = Extract<Filling, { readonly from: 'backup' }>;

/** Connections that load side by side: PostgreSQL and this process have a processor each. */
const LOADERS = 2;

interface Part {
  readonly table: ManifestTable;
  readonly part: ManifestPart;
}

/**
 * Loads the parts of a backup, each in a transaction of its own, then compares all tables with the manifest.
 * @returns undefined where time is up: call again.
 */
export async function fillFromBackup(
  registry: RegistryExecutor,
  context: HopContext,
  {
    steps,
    store,
    filling,
  }: { readonly steps: Steps; readonly store: ObjectStore; readonly filling: FromBackup },
): Promise<Filled | undefined> {
  const backup = await findRestorable(registry, filling.tenantId, filling.backupId);
  const manifest = await readManifest(store, backup);
  const tables = restoredTables(manifest, filling);
  const parts = tables.flatMap((table) => table.parts.map((part) => ({ table, part })));
  const total = { rowsTotal: sumOf(tables, 'rows'), bytesTotal: sumOf(tables, 'rawBytes') };
  const loaded = { rowsDone: 0, bytesDone: 0 };
  const load = async (loader: pg.Client, { table, part }: Part) => {
    if (!(await steps.done(loader, part.key))) {
      const body = await openPart(store, part);
      const work = () => loadPart(loader, context.hop.target, table, part, body);
      try {
        await claimedModestly(loader, context.hop.attempt, () => steps.once(loader, part.key, work), {
          seconds: SNAPSHOT_SECONDS,
        });
      } finally {
        // Another run of the phase has loaded it meanwhile, or the transaction did not begin.
        body.destroy();
      }
    }
    loaded.rowsDone += part.rows;
    loaded.bytesDone += part.rawBytes;
    await context.progress({ ...loaded, ...total });
  };
  if (!(await sideBySide(context, parts, load))) return undefined;

  // Each table once: a large tenant takes several calls, and a masked table has other rows than the backup.
  const place = { ...context.hop.target, tenantId: filling.tenantId };
  const compare = async (loader: pg.Client, table: ManifestTable) => {
    const step = `compared ${table.name}`;
    await context.progress({});
    if (await steps.done(loader, step)) return;
    await compareWithManifest(loader, place, table);
    await claimedModestly(loader, context.hop.attempt, () => steps.once(loader, step, async () => {}));
  };
  if (!(await sideBySide(context, tables, compare))) return undefined;
  if (filling.mask) await asLoader(context, (loader) => mask(loader, context, steps, filling));
  return {
    rows: total.rowsTotal,
    bytes: total.bytesTotal,
    tables: tables.map(({ name, rows }) => ({ name, rows })),
  };
}

async function mask(
  loader: pg.Client,
  { hop }: HopContext,
  steps: Steps,
  { schemaVersion }: FromBackup,
): Promise<void> {
  const work = () => maskRows(loader, hop.target.schemaName, schemaVersion);
  await claimedModestly(loader, hop.attempt, () => steps.once(loader, 'masked', work), {
    seconds: SNAPSHOT_SECONDS,
  });
}

function restoredTables({ tables }: BackupManifest, { carried, mask }: FromBackup): ManifestTable[] {
  // What was done to whom is told by the audit log in words that cannot be blanked.
  const leftOut = mask ? [...carried, auditLog.name] : carried;
  return tables.filter(({ name }) => !leftOut.includes(name));
}

/**
 * Works items off on several connections. When one fails, no further one is begun, and all connections are idle at the end.
 * @returns whether all were done before the phase's deadline.
 */
async function sideBySide<Item>(
  context: HopContext,
  items: readonly Item[],
  work: (loader: pg.Client, item: Item) => Promise<void>,
): Promise<boolean> {
  const queue = [...items];
  let failed = false;
  const lane = () =>
    asLoader(context, async (loader) => {
      while (!failed && performance.now() <= context.deadline) {
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

function asLoader<Result>(
  { hop: { target, attempt } }: HopContext,
  work: (loader: pg.Client) => Promise<Result>,
): Promise<Result> {
  return asOwnerOf(
    target,
    async (loader) => {
      await joinAttempt(loader, attempt.attemptId);
      return work(loader);
    },
    { pipeline: false },
  );
}

const sumOf = (tables: readonly ManifestTable[], key: 'rows' | 'rawBytes'): number =>
  tables.reduce((sum, table) => sum + table[key], 0);
