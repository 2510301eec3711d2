import type pg from 'pg';
import * as z from 'zod/mini';
import type { TenantTable } from '../../database/tables/tenant-table.ts';
import { tenantTablesAt } from '../../database/tables/tenant-tables.ts';
import { claimed, claimedAtTarget, holdTarget } from '../../database/transfer/claim.ts';
import { compareRange, type KeyRange, rangeEnd } from '../../database/transfer/compare-content.ts';
import { WritersBusy } from '../../database/transfer/errors.ts';
import { withoutWriters } from '../../database/transfer/fence.ts';
import { schemaSize } from '../../database/transfer/replication/sync-state.ts';
import { endTargetCapture } from '../../database/transfer/target-placement.ts';
import { gatherStatistics } from '../../database/transfer/target-schema.ts';
import { tablesVersionOf } from '../../places/place.ts';
import { MoveMismatch } from '../errors.ts';
import type { Hop, HopContext, PhaseOutcome } from '../hop.ts';
import { onBothSides } from './replication.ts';

const ROWS_AT_ONCE = 20_000;
const committed = { phase: 'after the commit' } as const;
/** How often to request the writers' lock; each request waits a tenth of a second. */
const PATIENCE = 30;

/** Markers belong to the move, and are not captured. */
const comparedTables = (hop: Hop) =>
  tenantTablesAt(tablesVersionOf(hop.target)).filter(({ name }) => name !== 'move_markers');

const sums = z.object({ name: z.string(), rows: z.number(), sourceHash: z.string(), targetHash: z.string() });
const cursorSchema = z.object({
  /** How many rows were compared. */
  rows: z.number(),
  /** The last one is of the table that is being compared. */
  tables: z.array(sums),
  after: z.nullable(z.array(z.string())),
});
type Cursor = z.infer<typeof cursorSchema>;

/**
 * Compares the source, which does not change any more, with the target, which is in use: key range by key range, by counts and
 * hashes, without the rows that were written at the target since the tenant was placed there. Their keys are known, because
 * the placement captures from its first moment. Full statistics, which the tenant's queries need, are gathered first.
 * @throws {MoveMismatch} the caller keeps both sides.
 */
export function compareRelocate(context: HopContext, cursor?: unknown): Promise<PhaseOutcome<Cursor>> {
  const { hop, deadline } = context;
  const compared = comparedTables(hop);
  return onBothSides(hop, async (sides) => {
    const at: Cursor =
      cursor === undefined ? { rows: 0, tables: [], after: null } : cursorSchema.parse(cursor);
    const total = Math.max(at.rows, (await schemaSize(sides.source, hop.source.schemaName)).rows);
    if (at.tables.length === 0) {
      await gatherStatistics(
        [sides.target],
        hop.target.schemaName,
        tenantTablesAt(tablesVersionOf(hop.target)),
      );
      at.tables.push(nothingOf(compared[0]!));
    }
    for (;;) {
      const table = compared[at.tables.length - 1]!;
      // In a transaction of the attempt: a run that was frozen must not compare what the next move writes.
      const upTo = await claimed(
        sides.source,
        hop.attempt,
        () => compareNext(sides, hop, table, at),
        committed,
      );
      await context.progress({ rowsDone: at.rows, rowsTotal: Math.max(total, at.rows) });
      if (upTo === 'compared already') {
        await endCapture(sides, hop);
        return { done: true };
      }
      at.after = upTo as string[] | null;
      if (upTo === null) {
        const next = compared[at.tables.length];
        if (!next) break;
        at.tables.push(nothingOf(next));
      }
      if (performance.now() > deadline) return { done: false, cursor: at };
    }
    await context.keep({ tables: at.tables });
    await endCapture(sides, hop);
    return { done: true };
  });
}

const nothingOf = ({ name }: TenantTable) => ({ name, rows: 0, sourceHash: '0', targetHash: '0' });

/**
 * @returns where the range ended; null where that was the table's end. `compared already` where another run has
 * compared everything and ended the capture.
 * @throws {MoveMismatch}
 */
async function compareNext(
  { source, target }: { readonly source: pg.Client; readonly target: pg.Client },
  hop: Hop,
  table: TenantTable,
  at: Cursor,
): Promise<KeyRange['upTo'] | 'compared already'> {
  const { schemaName } = hop.source;
  const upTo = await rangeEnd(source, schemaName, table, at.after, ROWS_AT_ONCE);
  const found = await compareRange(
    { owner: source, schemaName },
    { owner: target, schemaName: hop.target.schemaName },
    { tenantId: hop.attempt.tenantId, epoch: hop.target.epoch },
    table,
    { after: at.after, upTo },
  );
  if (!found) return 'compared already';
  if (found.source.rows !== found.target.rows || found.source.hash !== found.target.hash) {
    const [here, there] = [found.source.rows, found.target.rows];
    throw new MoveMismatch({
      cause: new Error(`${table.name} differs: ${here} rows at the source, ${there} at the target`),
    });
  }
  const sum = at.tables.at(-1)!;
  at.tables[at.tables.length - 1] = {
    name: sum.name,
    rows: sum.rows + found.source.rows,
    sourceHash: String(BigInt(sum.sourceHash) + found.source.hash),
    targetHash: String(BigInt(sum.targetHash) + found.target.hash),
  };
  at.rows += found.source.rows;
  return upTo;
}

/**
 * Ends the capture once the writers that capture have ended (`enter` decides for a whole transaction), and then removes what
 * was captured. The attempt still has its claim: the next move of the tenant captures here too.
 * @throws {WritersBusy} call it again.
 */
async function endCapture(
  { source, target }: { readonly source: pg.Client; readonly target: pg.Client },
  { attempt, target: place }: Hop,
): Promise<void> {
  const { tenantId } = attempt;
  const switchOff = async () => {
    for (let tries = 1; ; tries++) {
      try {
        return await withoutWriters(target, tenantId, async () => {
          await holdTarget({ source, target }, attempt);
          await endTargetCapture(target, { tenantId, ...place });
        });
      } catch (error) {
        if (!(error instanceof WritersBusy) || tries === PATIENCE) throw error;
      }
    }
  };
  await claimed(source, attempt, switchOff, committed);
  const forget = async () => {
    await target.query('delete from tenancy.captured_changes where tenant_id = $1', [tenantId]);
  };
  await claimedAtTarget({ source, target }, attempt, forget, committed);
}
