import { randomUUID } from 'node:crypto';
import { identifier } from '../../../functions/database/ddl/identifier.ts';
import { createTenantSchema } from '../../../functions/database/provisioning/tenant-schema.ts';
import { TENANT_SCHEMA_VERSION } from '../../../functions/database/tables/schema-version.ts';
import { movedTablesAt } from '../../../functions/database/transfer/reshape/sides.ts';
import type { Hop } from '../../../functions/moves/hop.ts';
import { asOwnerOf } from '../../../functions/places/place-database.ts';
import { type BenchDatabase, type BenchTenant, PASSWORD } from '../bench-server.ts';
import { quantile } from '../interleave.ts';
import { insertBulkRows } from './bulk-rows.ts';
import { describePhases, type MoveRun, spanOf } from './move-steps.ts';
import { Mover } from './mover.ts';
import type { Container, MovingCells } from './moving-cells.ts';
import { PacedLoad } from './paced-load.ts';
import { moveInOneTransaction } from './strategy-sql.ts';
import { changesOf, neighbourRequests } from './tenant-requests.ts';

/** Moves of tenants with so many rows. Milliseconds; of `strategy`, which pauses writes for all of it. */
export interface ReshapeCost {
  readonly rows: number;
  /** For each move the longest pause of any try. */
  readonly pauses: readonly number[];
  readonly totals: readonly number[];
  readonly strategy: readonly number[];
  /** Requests of other tenants of the cell, of all moves together. */
  readonly others: {
    readonly quiet: Latencies;
    /** With the duty cycle of the configuration. */
    readonly moving: Latencies;
    /** While a tenant of that size is copied without rests. */
    readonly tireless: Latencies;
  };
  readonly writes: number;
  readonly failed: number;
}

export interface Latencies {
  readonly requests: number;
  readonly p50: number;
  readonly p99: number;
}

export const NEIGHBOURS = 200;
/** More would leave two cores no idle time even without a move, since the clients work on them too. */
export const NEIGHBOUR_REQUESTS_PER_SECOND = 150;
export const WRITES_PER_SECOND = 50;
const ROUNDS = 3;
/** Without a move, before each of them. */
const QUIET_MS = 5_000;
/** A p99 of fewer requests is a matter of luck: small tenants, which have moved in a moment, move more often. */
const ENOUGH_REQUESTS = 1_500;
const MOST_MOVES = 15;

class Collected {
  readonly pauses: number[] = [];
  readonly totals: number[] = [];
  readonly strategy: number[] = [];
  readonly quiet: number[] = [];
  readonly moving: number[] = [];
  readonly tireless: number[] = [];
  writes = 0;
  failed = 0;
}

/** Starter tenants of different sizes get schemas of their own, in a cell where other tenants go on working. */
export async function measureReshape(
  cells: MovingCells,
  quick: boolean,
  say: (text: string) => void,
): Promise<ReshapeCost[]> {
  const sizes = quick ? [1_000, 10_000] : [1_000, 10_000, 100_000, 1_000_000];
  const [cell] = cells.databases as [BenchDatabase];
  const neighbours = await cell.addSharedTenants(NEIGHBOURS, 20);
  const request = await neighbourRequests(cells.container(), cell, neighbours);
  const movers = cells.container();
  const collected = new Map(sizes.map((rows) => [rows, new Collected()]));
  const mover = await Mover.start();
  const tireless = await Mover.start({ MOVE_DUTY_CYCLE: '1' });
  try {
    for (let round = 0; round < ROUNDS; round++) {
      for (const [rows, found] of collected) {
        const enough = (ENOUGH_REQUESTS * (round + 1)) / ROUNDS;
        const most = (MOST_MOVES * (round + 1)) / ROUNDS;
        const trial = { cells, movers, cell, request, rows, say };
        const without = new Collected();
        await reshapeOne({ ...trial, mover: tireless, found: without });
        found.tireless.push(...without.moving);
        do await reshapeOne({ ...trial, mover, found });
        while (!quick && found.moving.length < enough && found.pauses.length < most);
      }
    }
  } finally {
    await Promise.all([mover.stop(), tireless.stop()]);
  }
  return [...collected].map(([rows, { quiet, moving, tireless: without, ...found }]) => ({
    rows,
    ...found,
    others: { quiet: latencies(quiet), moving: latencies(moving), tireless: latencies(without) },
  }));
}

interface Trial {
  readonly cells: MovingCells;
  readonly mover: Mover;
  /** Serves the tenants that move, and nobody else: their writes wait for connections only among themselves. */
  readonly movers: Container;
  readonly cell: BenchDatabase;
  /** One of another tenant. */
  readonly request: () => Promise<unknown>;
  readonly rows: number;
  readonly found: Collected;
  readonly say: (text: string) => void;
}

async function reshapeOne({ cells, mover, movers, cell, request, rows, found, say }: Trial): Promise<void> {
  const [tenant] = (await cell.addSharedTenants(1, 0)) as [BenchTenant];
  await insertBulkRows(cell.superuser, 'shared', rows, tenant.tenantId);
  await tidy(cell);
  const hop = await cells.hopTo(cell, 'reshape', tenant.tenantId, cells.placeOf(cell, tenant));
  const change = changesOf(movers.access(cell, tenant), await cell.employeeIds(tenant));
  const writer = new PacedLoad(WRITES_PER_SECOND, change);
  const others = new PacedLoad(NEIGHBOUR_REQUESTS_PER_SECOND, request);
  let run: MoveRun;
  try {
    // The first second warms up.
    await rest(1_000);
    const quietFrom = performance.now();
    await rest(QUIET_MS);
    const movingFrom = performance.now();
    run = await mover.move(hop);
    const movedAt = performance.now();
    await rest(500);
    await Promise.all([writer.stop(), others.stop()]);
    found.quiet.push(...others.between(quietFrom, movingFrom));
    found.moving.push(...others.between(movingFrom, movedAt));
  } finally {
    await Promise.all([writer.stop(), others.stop()]);
  }
  await cells.settle(hop);
  found.pauses.push(run.pauseMs);
  found.totals.push(spanOf(run, 'prepare', 'cut-over'));
  found.writes += writer.samples.length;
  found.failed += writer.failures.length + others.failures.length;
  const [failure] = [...writer.failures, ...others.failures];
  if (failure) say(`  a failed request: ${failure}`);
  found.strategy.push(await strategyOn(cell, hop));
  say(
    `  ${rows} rows: ${describePhases(run.phases)} s; pauses ${run.pauses.map((ms) => ms.toFixed(1)).join(', ')} ms; ` +
      `others p99 ${p99(found.quiet)} ms quiet, ${p99(found.moving)} ms moving; in one transaction ${found.strategy.at(-1)?.toFixed(0)} ms`,
  );
  await cell.superuser.query(`DROP SCHEMA ${identifier(hop.target.schemaName)} CASCADE`);
}

/** With the very rows that the tenant has left behind in the shared tables. Nobody writes meanwhile. */
async function strategyOn(cell: BenchDatabase, { attempt, source }: Hop): Promise<number> {
  const { tenantId } = attempt;
  const schemaName = `bench_${randomUUID().replaceAll('-', '')}`;
  const schema = { tenantId, schemaName, roleName: schemaName, password: PASSWORD, connectionLimit: 1 };
  await asOwnerOf(source, (owner) => createTenantSchema(owner, schema));
  await tidy(cell);
  const ms = await moveInOneTransaction(cell.superuser, {
    tenantId,
    attemptId: attempt.attemptId,
    source: { model: 'shared', schema: 'shared' },
    target: { model: 'isolated', schema: schemaName },
    tables: movedTablesAt(TENANT_SCHEMA_VERSION),
  });
  await cell.superuser.query(`DROP SCHEMA ${identifier(schemaName)} CASCADE`);
  return ms;
}

/** What came before is no burden to what comes next. */
async function tidy({ superuser }: BenchDatabase): Promise<void> {
  await superuser.query('VACUUM (ANALYZE)');
  await superuser.query('CHECKPOINT');
}

const latencies = (samples: readonly number[]): Latencies => ({
  requests: samples.length,
  p50: quantile(samples, 0.5),
  p99: quantile(samples, 0.99),
});
const p99 = (samples: readonly number[]) => quantile(samples, 0.99).toFixed(1);
const rest = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));
