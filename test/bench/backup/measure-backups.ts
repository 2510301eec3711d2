import type { WorkerReport } from '../../backup/worker-process.ts';
import { BenchServer, type BenchTenant } from '../bench-server.ts';
import { insertBulkRows } from '../move/bulk-rows.ts';
import { debianPostgresInstalled } from '../move/debian-servers.ts';
import { schemaBytes, versionOf } from '../move/dump-contest.ts';
import { sized } from '../move/durable-settings.ts';
import { BackupBench, type FinishedBackup } from './backup-bench.ts';
import { type Dump, Dumps } from './dumps.ts';
import { measureNeighbour, type NeighbourCost } from './neighbour.ts';
import type { RestoreReport } from './restore-process.ts';

const ROUNDS = 3;
/** Measured: a gigabyte with indexes are 2.04 million rows of `insertBulkRows`. */
const ROWS_PER_MEGABYTE = 2_040;
/** Of the tenant beside whose backup the large one's memory is compared. */
const SMALL_MB = 100;

export interface OwnBackup {
  readonly ms: number;
  readonly bytes: number;
  readonly workers: readonly WorkerReport[];
  readonly restore: RestoreReport;
}

export interface BackupCost {
  readonly serverVersion: string;
  readonly rows: number;
  /** With indexes. */
  readonly bytes: number;
  readonly ours: readonly OwnBackup[];
  readonly small: { readonly megabytes: number; readonly workers: readonly WorkerReport[] };
  readonly neighbour: NeighbourCost;
  /** Absent where Debian's servers are not installed. */
  readonly dumps?: {
    readonly serverVersion: string;
    readonly custom: readonly Dump[];
    readonly zstd: readonly Dump[];
    /** Milliseconds. */
    readonly restore: readonly number[];
  };
}

/** Ours and the dumps take turns. */
export async function measureBackups(megabytes: number, say: (text: string) => void): Promise<BackupCost> {
  const rows = megabytes * ROWS_PER_MEGABYTE;
  const server = await BenchServer.start(sized);
  const cell = await server.createDatabase('strata');
  const bench = await BackupBench.start(server, cell);
  let dumps: Dumps | undefined;
  try {
    const tenant = await filled(bench, rows);
    const bytes = await schemaBytes(cell.superuser, tenant.schemaName);
    say(`${rows} rows, ${bytes} bytes`);
    if (debianPostgresInstalled) dumps = await Dumps.start(tenant.schemaName, rows, sized);
    const small = await filled(bench, SMALL_MB * ROWS_PER_MEGABYTE);
    const ours: OwnBackup[] = [];
    const [custom, zstd, restores]: [Dump[], Dump[], number[]] = [[], [], []];
    const own = async () => {
      ours.push(await ownBackup(bench, tenant, say));
    };
    const theirs = async () => {
      if (!dumps) return;
      custom.push(await dumps.custom());
      zstd.push(await dumps.zstd());
      restores.push(await dumps.restore());
      const last = { custom: custom.at(-1), zstd: zstd.at(-1), restore: restores.at(-1) };
      say(`  dumps ${JSON.stringify(last)}`);
    };
    for (let round = 0; round < ROUNDS; round++)
      for (const contestant of round % 2 === 0 ? [own, theirs] : [theirs, own]) await contestant();
    say('memory with a small tenant');
    const { workers, location } = await checkpointed(bench, small);
    await bench.discard(location);
    say('a neighbour');
    const neighbour = await measureNeighbour(bench, tenant);
    return {
      serverVersion: await versionOf(cell.superuser),
      rows,
      bytes,
      ours,
      small: { megabytes: SMALL_MB, workers },
      neighbour,
      ...(dumps && { dumps: { serverVersion: dumps.serverVersion, custom, zstd, restore: restores } }),
    };
  } finally {
    await dumps?.stop();
    await bench.stop();
    await server.stop();
  }
}

async function filled(bench: BackupBench, rows: number): Promise<BenchTenant> {
  const tenant = await bench.addTenant();
  await insertBulkRows(bench.cell.superuser, tenant.schemaName, rows);
  await bench.cell.superuser.query('VACUUM (ANALYZE)');
  return tenant;
}

async function checkpointed(bench: BackupBench, tenant: BenchTenant): Promise<FinishedBackup> {
  await bench.cell.superuser.query('CHECKPOINT');
  return bench.backUp(tenant);
}

async function ownBackup(
  bench: BackupBench,
  tenant: BenchTenant,
  say: (text: string) => void,
): Promise<OwnBackup> {
  const { ms, workers, location, manifest } = await checkpointed(bench, tenant);
  const parts = manifest.tables.flatMap((table) => table.parts);
  const bytes = parts.reduce((sum, { storedBytes }) => sum + storedBytes, 0);
  say(`  backup ${ms} ms, ${parts.length} parts, ${bytes} bytes; ${JSON.stringify(workers)}`);
  await bench.cell.superuser.query('CHECKPOINT');
  const restore = await bench.restore(location);
  say(`  restore ${JSON.stringify(restore)}`);
  await bench.discard(location);
  return { ms, bytes, workers, restore };
}
