import { claimedModestly } from '../../database/transfer/reshape/attempt-session.ts';
import { copyTable, emptyTarget, sizesAtSource } from '../../database/transfer/reshape/copy-rows.ts';
import { DutyCycle } from '../duty-cycle.ts';
import type { HopContext, PhaseOutcome } from '../hop.ts';
import { ProgressMeter } from './progress-meter.ts';
import { inAttemptSession, SNAPSHOT_SECONDS, sidesOf } from './reshape-session.ts';

/** A copy that would take longer with its rests does not rest: its snapshot must not get too old. */
const RESTED_SECONDS = SNAPSHOT_SECONDS / 2;

/**
 * Copies all rows of the tenant in one snapshot and one transaction. Killed anywhere it leaves nothing; a repeated
 * run begins again. Between two statements it rests, so that the cell's other tenants get their share.
 * @throws {ClaimLost | AttemptBusy | MoveAborted}
 */
export async function copyReshape(context: HopContext, cursor?: unknown): Promise<PhaseOutcome> {
  if (context.kept.copiedRows !== undefined) return { done: true };
  const { attempt } = context.hop;
  const sides = sidesOf(context.hop);
  return inAttemptSession(context, cursor, async (owner) => {
    const meter = new ProgressMeter(context);
    const copied = await claimedModestly(
      owner,
      attempt,
      async () => {
        await owner.query('select tenancy.enter_move($1, null)', [attempt.tenantId]);
        const sizes = await sizesAtSource(owner, sides);
        const [rowsTotal, bytesTotal] = [sumOf(sizes, 'rows'), sumOf(sizes, 'bytes')];
        await emptyTarget(owner, sides);
        const duty = new DutyCycle(RESTED_SECONDS * 1_000);
        let [rowsDone, bytesDone] = [0, 0];
        for (const [index, table] of sides.tables.entries()) {
          const { rows, bytes } = sizes[index] ?? { rows: 0, bytes: 0 };
          meter.show({ rowsDone, rowsTotal, bytesDone: Math.round(bytesDone), bytesTotal });
          await copyTable(owner, sides, table, rows, async (copiedRows) => {
            rowsDone += copiedRows;
            bytesDone += rows === 0 ? 0 : (bytes * copiedRows) / rows;
            meter.show({ rowsDone, rowsTotal, bytesDone: Math.round(bytesDone), bytesTotal });
            await duty.rest(rowsTotal === 0 ? 1 : rowsDone / rowsTotal);
          });
        }
        return { rowsDone, bytesTotal, sizes, restedMs: Math.round(duty.restedMs) };
      },
      { isolation: 'repeatable read', seconds: SNAPSHOT_SECONDS },
    );
    await context.keep({
      copiedRows: copied.rowsDone,
      copiedBytes: copied.bytesTotal,
      copyRestedMs: copied.restedMs,
      tables: copied.sizes.map(({ name, rows }) => ({ name, rows })),
    });
    await meter.settle();
    return { done: true };
  });
}

function sumOf<Key extends string>(items: readonly Record<Key, number>[], key: Key): number {
  return items.reduce((sum, item) => sum + item[key], 0);
}
