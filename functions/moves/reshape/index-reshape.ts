import { joinedTransaction } from '../../database/ddl/ddl-connection.ts';
import { claimedModestly } from '../../database/transfer/reshape/attempt-session.ts';
import { movedTablesAt } from '../../database/transfer/reshape/sides.ts';
import {
  buildPieces,
  gatherStatistics,
  missingPieces,
  sealSchema,
} from '../../database/transfer/target-schema.ts';
import { type HopContext, type PhaseOutcome, tablesAtTarget } from '../hop.ts';
import { inAttemptSession } from './reshape-session.ts';

/** One build at a time with one process: the other processors are left to the cell's other tenants. */
const POWER = { memory: '128MB', workers: 0 } as const;

/**
 * Builds what the tables of a new schema lack, one piece a transaction, and lets requests in. The shared tables have
 * everything already. Progress counts pieces.
 */
export async function indexReshape(context: HopContext, cursor?: unknown): Promise<PhaseOutcome> {
  const { attempt, target } = context.hop;
  const schema = tablesAtTarget(context.hop);
  if (target.isolationModel === 'shared') return { done: true };
  return inAttemptSession(context, cursor, async (owner) => {
    // What is built here is dropped with its schema, so the claim is checked only at the beginning and at the end.
    await claimedModestly(owner, attempt, async () => {});
    const rowsTotal = (await missingPieces(owner, schema)).length;
    let rowsDone = 0;
    const whole = await buildPieces([owner], schema, POWER, async () => {
      await context.progress({ rowsDone, rowsTotal });
      rowsDone += 1;
      return performance.now() <= context.deadline;
    });
    if (!whole) return { done: false };
    await gatherStatistics([owner], schema.schemaName, movedTablesAt(schema.schemaVersion));
    await claimedModestly(owner, attempt, () =>
      sealSchema(owner, { ...schema, roleName: target.roleName }, joinedTransaction),
    );
    return { done: true };
  });
}
