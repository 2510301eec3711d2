import type pg from 'pg';
import { joinedTransaction } from '../../database/ddl/ddl-connection.ts';
import { qualified } from '../../database/ddl/identifier.ts';
import { sqlStateOf } from '../../database/session/sql-state.ts';
import { missingPieces, type Piece, sealArrivingSchema } from '../../database/transfer/arriving-schema.ts';
import { inTransaction } from '../../database/transfer/claim.ts';
import { atSource } from '../../database/transfer/reshape/at-source.ts';
import { movedTables } from '../../database/transfer/reshape/sides.ts';
import type { Hop, StepContext, StepOutcome } from '../hop.ts';
import { inTurn, SNAPSHOT_SECONDS } from './in-turn.ts';

/** 42P07, 42710: a relation or constraint of that name is there; another run was quicker. */
const BUILT_BY_ANOTHER = new Set(['42P07', '42710']);

/**
 * Builds what the tables of a new schema lack, one piece a transaction, and lets requests in. The shared tables have
 * everything already. Progress counts pieces.
 */
export async function indexReshape(context: StepContext, cursor?: unknown): Promise<StepOutcome> {
  const { attempt, target } = context.hop;
  if (target.isolationModel === 'shared') return { done: true };
  return inTurn(context, cursor, async (owner) => {
    // What is built here vanishes with its schema, so only the way in and the way out ask whose the tenant is.
    await atSource(owner, attempt, async () => {});
    const pieces = await missingPieces(owner, target.schemaName);
    for (const [rowsDone, piece] of pieces.entries()) {
      await context.progress({ rowsDone, rowsTotal: pieces.length });
      if (performance.now() > context.deadline) return { done: false };
      await build(owner, piece);
    }
    await gatherStatistics(owner, context.hop);
    await atSource(owner, attempt, () => sealArrivingSchema(owner, target, joinedTransaction));
    return { done: true };
  });
}

async function build(owner: pg.Client, { statement }: Piece): Promise<void> {
  try {
    await inTransaction(owner, 'read committed', SNAPSHOT_SECONDS, async () => {
      // One build at a time with one process, so that the cell's other tenants keep their share of the machine.
      await owner.query(
        "SET LOCAL maintenance_work_mem = '128MB'; SET LOCAL max_parallel_maintenance_workers = 0",
      );
      await owner.query(statement);
    });
  } catch (error) {
    if (!BUILT_BY_ANOTHER.has(sqlStateOf(error) ?? '')) throw error;
  }
}

/** The first requests are planned upon them: autovacuum would come a minute later. */
async function gatherStatistics(owner: pg.Client, { target }: Hop): Promise<void> {
  const names = movedTables.map(({ name }) => qualified(target.schemaName, name));
  await owner.query(`ANALYZE ${names.join(', ')}`);
}
