import type pg from 'pg';
import { sqlStateOf } from '../database/session/sql-state.ts';
import { idempotencyKeys } from '../database/tables/operations-tables.ts';
import { compareSides, isEqual } from '../database/transfer/compare-content.ts';
import { claimedModestly } from '../database/transfer/reshape/attempt-session.ts';
import { copyTable } from '../database/transfer/reshape/copy-rows.ts';
import { movedTablesAt, type Sides } from '../database/transfer/reshape/sides.ts';
import { MoveMismatch } from '../moves/errors.ts';
import type { Filling, HopContext } from '../moves/hop.ts';
import { SNAPSHOT_SECONDS } from '../moves/reshape/reshape-session.ts';
import { UndoImpossible } from './errors.ts';
import type { Filled } from './load-backup.ts';
import { once } from './load-backup.ts';

/**
 * Copies the rows that an earlier restore replaced, in one snapshot and one transaction, and compares both sides. The
 * schema with those rows is not changed, so an undo that fails can be tried again.
 * @throws {UndoImpossible} the schema was dropped: the grace period has ended.
 */
export async function fillFromSchema(
  owner: pg.Client,
  context: HopContext,
  filling: Extract<Filling, { readonly from: 'schema' }>,
): Promise<Filled> {
  const { attempt, target } = context.hop;
  const leftOut = [...filling.carried, idempotencyKeys.name];
  const sides: Sides = {
    tenantId: attempt.tenantId,
    attemptId: attempt.attemptId,
    source: { model: 'isolated', schema: filling.schemaName },
    target: { model: 'isolated', schema: target.schemaName },
    tables: movedTablesAt(filling.schemaVersion).filter(({ name }) => !leftOut.includes(name)),
  };
  const copy = async () => {
    for (const table of sides.tables) await copyTable(owner, sides, table, 0, async () => {});
  };
  try {
    await context.progress({});
    const tables = await claimedModestly(
      owner,
      attempt,
      async () => {
        await once(owner, target.schemaName, 'copied', copy);
        return compareSides(owner, sides);
      },
      { isolation: 'repeatable read', seconds: SNAPSHOT_SECONDS },
    );
    const different = tables.filter((table) => !isEqual(table));
    if (different.length > 0) throw new MoveMismatch({ cause: different });
    return {
      rows: tables.reduce((sum, { rows }) => sum + rows, 0),
      bytes: 0,
      tables: tables.map(({ name, rows }) => ({ name, rows })),
    };
  } catch (error) {
    // 42P01, 3F000: the clean-up of that restore has dropped the schema.
    if (!['42P01', '3F000'].includes(sqlStateOf(error) ?? '')) throw error;
    throw new UndoImpossible('The replaced rows are not kept any more.', { cause: error });
  }
}
