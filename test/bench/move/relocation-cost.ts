import { randomUUID } from 'node:crypto';
import { tenantSql } from '../../../functions/database/session/tenant-sql.ts';
import { cleanUpRelocate } from '../../../functions/moves/relocate/clean-up-relocate.ts';
import type { TenantAccess } from '../../../functions/placement/tenant-router.ts';
import type { Place } from '../../../functions/places/place.ts';
import type { BenchDatabase } from '../bench-server.ts';
import { inTurn } from '../in-turn.ts';
import { insertBulkRows } from './bulk-rows.ts';
import { debianPostgresInstalled } from './debian-servers.ts';
import { schemaBytes, startDumpContest, versionOf } from './dump-contest.ts';
import { sized } from './durable-settings.ts';
import { describePhases, phaseOf, spanOf } from './move-steps.ts';
import { Mover } from './mover.ts';
import type { MovingCells } from './moving-cells.ts';
import { longest, PacedLoad } from './paced-load.ts';

/** One relocation of ours, under writes. Milliseconds. */
export interface Relocation {
  readonly toCommitMs: number;
  readonly toComparedMs: number;
  /** The longest pause of any try. */
  readonly pauseMs: number;
  readonly writes: number;
  readonly failed: number;
  /** The slowest write of the whole move, and of those that were due in the cut-over or a second around it. */
  readonly slowestMs: number;
  readonly slowestAroundMs: number;
}

export interface RelocationCost {
  readonly serverVersion: string;
  readonly rows: number;
  readonly bytes: number;
  readonly ours: readonly Relocation[];
  /** Absent where Debian's servers are not installed. Milliseconds. */
  readonly dumps?: {
    readonly serverVersion: string;
    readonly bytes: number;
    readonly compressed: readonly number[];
    readonly uncompressed: readonly number[];
  };
}

export const WRITES_PER_SECOND = 200;
const ROUNDS = 3;
const AROUND_MS = 1_000;
/** How long the load runs before and after the move. */
const MARGIN_MS = 2_000;

/**
 * A tenant goes to another server and, in the next round, back again, which leaves an empty server to go to each time; in
 * between, the same rows are dumped from one Debian server and restored into an empty database of another.
 */
export async function measureRelocation(
  cells: MovingCells,
  quick: boolean,
  say: (text: string) => void,
): Promise<RelocationCost> {
  const rows = quick ? 60_000 : 2_200_000;
  const [here] = cells.databases as [BenchDatabase];
  const tenant = await here.addSchemaTenant(0);
  const { tenantId, schemaName } = tenant;
  await insertBulkRows(here.superuser, schemaName, rows);
  const bytes = await schemaBytes(here.superuser, schemaName);
  say(`  ${rows} rows, ${bytes} bytes`);
  const writer = new Writer(cells.container().access(here, tenant), await here.employeeIds(tenant));
  const mover = await Mover.start();
  const dump = debianPostgresInstalled ? await startDumpContest(schemaName, rows, sized) : undefined;
  try {
    const [compressed, uncompressed, ours]: [number[], number[], Relocation[]] = [[], [], []];
    let place = cells.placeOf(here, tenant);
    for (let round = 0; round < ROUNDS; round++) {
      const [from, to] = between(cells, round);
      const moved = await relocate({ cells, mover, tenantId, writer, say }, place, from, to);
      place = moved.place;
      ours.push(moved.relocation);
      if (!dump) continue;
      compressed.push(await dump.run([]));
      uncompressed.push(await dump.run(['-Z0']));
      say(`  pg_dump -Fc ${compressed.at(-1)} ms, -Fc -Z0 ${uncompressed.at(-1)} ms`);
    }
    await refuseLosses(between(cells, ROUNDS)[0], place, writer);
    const serverVersion = await versionOf(here.superuser);
    const dumps = dump && { serverVersion: dump.serverVersion, bytes: dump.bytes, compressed, uncompressed };
    return { serverVersion, rows, bytes, ours, ...(dumps && { dumps }) };
  } finally {
    await mover.stop();
    await dump?.stop();
  }
}

/** Where a round goes from and to. */
function between({ databases }: MovingCells, round: number): [BenchDatabase, BenchDatabase] {
  const [one, other] = databases as [BenchDatabase, BenchDatabase];
  return round % 2 === 0 ? [one, other] : [other, one];
}

async function refuseLosses(
  { superuser }: BenchDatabase,
  { schemaName }: Place,
  writer: Writer,
): Promise<void> {
  const { rows } = await superuser.query<{ rows: string }>(
    `SELECT count(*) AS rows FROM ${schemaName}.audit_log WHERE action = $1`,
    [WRITTEN],
  );
  if (Number(rows[0]?.rows) !== writer.inserted) throw new Error('acknowledged writes were lost');
}

interface Journey {
  readonly cells: MovingCells;
  readonly mover: Mover;
  readonly tenantId: string;
  readonly writer: Writer;
  readonly say: (text: string) => void;
}

async function relocate(
  { cells, mover, tenantId, writer, say }: Journey,
  source: Place,
  from: BenchDatabase,
  to: BenchDatabase,
): Promise<{ relocation: Relocation; place: Place }> {
  const hop = await cells.hopTo(to, 'relocate', tenantId, source);
  await from.superuser.query('VACUUM (ANALYZE)');
  await Promise.all([from, to].map(({ superuser }) => superuser.query('CHECKPOINT')));
  const load = new PacedLoad(WRITES_PER_SECOND, () => writer.write());
  try {
    await rest(MARGIN_MS);
    const run = await mover.move(hop);
    await cells.settle(hop);
    await rest(MARGIN_MS);
    await load.stop();
    const cutOver = phaseOf(run.phases, 'cut-over');
    const relocation = {
      toCommitMs: spanOf(run, 'prepare', 'cut-over'),
      toComparedMs: spanOf(run, 'prepare', 'compare'),
      pauseMs: run.pauseMs,
      writes: load.samples.length,
      failed: load.failures.length,
      slowestMs: longest(load.samples.map(({ ms }) => ms)),
      slowestAroundMs: longest(load.between(cutOver.startedAt - AROUND_MS, cutOver.endedAt + AROUND_MS)),
    };
    say(
      `  ${describePhases(run.phases)} s; pauses ${run.pauses.join(', ')} ms; ${JSON.stringify(relocation)}`,
    );
    if (load.failures.length > 0) say(`  a failed write: ${load.failures[0]}`);
    await cleanUpRelocate(hop, performance.now() + 60_000);
    return { relocation, place: hop.target };
  } finally {
    await load.stop();
  }
}

const rest = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));
const WRITTEN = 'bench.write';

/** Changes employees and adds to the audit log, by turns. */
class Writer {
  /** Acknowledged entries of the audit log. */
  inserted = 0;
  #writes = 0;
  readonly #access: TenantAccess;
  readonly #employeeId: () => string;

  constructor(access: TenantAccess, employeeIds: readonly string[]) {
    this.#access = access;
    this.#employeeId = inTurn(employeeIds);
  }

  write(): Promise<unknown> {
    return this.#writes++ % 2 === 0 ? this.#change() : this.#note();
  }

  #change(): Promise<unknown> {
    const change = tenantSql.updateTable('employees').set({ job_title: 'Moved' });
    return this.#access.batch('write', [change.where('employee_id', '=', this.#employeeId())]);
  }

  async #note(): Promise<void> {
    const values = { log_id: randomUUID(), action: WRITTEN, resource_type: 'employee' };
    await this.#access.batch('write', [tenantSql.insertInto('audit_log').values(values)]);
    this.inserted += 1;
  }
}
