/**
 * Deletes one tenant's rows that are older than the retention of its tier, in batches.
 *
 * Each batch is a transaction that holds the tenant's movers' key exclusively and has seen that no attempt at a move
 * claims the tenant. So no attempt works on the tenant meanwhile, and none begins: what a move copies, captures and
 * compares is the same before, during and after. A tenant that is being moved keeps its old rows until the next run.
 * Requests only append to the table, and wait for nothing here.
 */

import { setTimeout as delay } from 'node:timers/promises';
import type pg from 'pg';
import type { Tier } from '../contracts/tenant.ts';
import { identifier, qualified } from '../database/ddl/identifier.ts';
import { monthOf, monthPartitionedTables } from '../database/tables/month-partitions.ts';
import { exclusively } from '../database/transfer/claim.ts';
import { AttemptBusy } from '../database/transfer/errors.ts';
import { readPlacement } from '../database/transfer/fence.ts';
import { RETENTION_MONTHS, retentionCutoff } from './retention.ts';

const BATCH = 1_000;
const BATCH_SECONDS = 15;
/** A pause lasts as long as the batch before it, at most this long, milliseconds: requests have half of the time. */
const LONGEST_PAUSE_MS = 500;

export interface DeleteOldRowsOptions {
  readonly now: Date;
  /** On `performance.now()`'s clock. */
  readonly deadline: number;
  /** Rows in one transaction. */
  readonly batch?: number;
  /** Called with each batch's rows after its commit. */
  readonly onBatch?: (rows: number) => void | Promise<void>;
}

export interface DeletedRows {
  readonly rows: number;
  /**
   * `moving`: a move has the tenant, or its writes are paused. `elsewhere`: it is not in this database. `unfinished`: the
   * deadline came first.
   */
  readonly outcome: 'done' | 'unfinished' | 'moving' | 'elsewhere';
}

/** @throws the driver's errors; the batches that were committed stay deleted. */
export async function deleteOldRows(
  owner: pg.ClientBase,
  { tenantId, tier }: { readonly tenantId: string; readonly tier: Tier },
  { now, deadline, batch = BATCH, onBatch }: DeleteOldRowsOptions,
): Promise<DeletedRows> {
  let deleted = 0;
  for (const table of monthPartitionedTables) {
    const months = RETENTION_MONTHS[table.name]?.[tier];
    if (months === undefined) continue;
    const cutoff = retentionCutoff(now, months);
    for (;;) {
      if (performance.now() > deadline) return { rows: deleted, outcome: 'unfinished' };
      const began = performance.now();
      const rows = await deleteBatch(owner, tenantId, { ...table, cutoff, batch });
      if (typeof rows === 'string') return { rows: deleted, outcome: rows };
      deleted += rows;
      if (rows > 0) await onBatch?.(rows);
      if (rows < batch) break;
      await delay(Math.min(performance.now() - began, LONGEST_PAUSE_MS));
    }
  }
  return { rows: deleted, outcome: 'done' };
}

/** @returns the number of rows, or why the tenant is left alone. */
async function deleteBatch(
  owner: pg.ClientBase,
  tenantId: string,
  { name, column, cutoff, batch }: { name: string; column: string; cutoff: Date; batch: number },
): Promise<number | 'moving' | 'elsewhere'> {
  // Checked before the lock too, so that a running move does not have to wait for this session.
  const before = await whyNot(owner, tenantId);
  if (before) return before;
  try {
    return await exclusively(
      owner,
      { tenantId },
      async () => {
        const placement = await readPlacement(owner, tenantId);
        const refused = await whyNot(owner, tenantId);
        if (refused || !placement) return refused ?? 'elsewhere';
        await owner.query('select tenancy.enter_move($1, null)', [tenantId]);
        const table = qualified(placement.schema_name, name);
        const age = identifier(column);
        // Month partitions of shared tables are dropped whole, so only rows of other partitions are deleted here.
        const from = placement.isolation_model === 'shared' ? new Date(monthOf(cutoff).first) : cutoff;
        const { rowCount } = await owner.query(
          // Rows of several partitions can have the same ctid, so the age is checked again.
          `DELETE FROM ${table} WHERE ${age} < $1 AND ctid = ANY (ARRAY(
             SELECT ctid FROM ${table} WHERE ${age} < $1 LIMIT ${batch}))`,
          [from],
        );
        return rowCount ?? 0;
      },
      { seconds: BATCH_SECONDS },
    );
  } catch (error) {
    if (error instanceof AttemptBusy) return 'moving';
    throw error;
  }
}

async function whyNot(owner: pg.ClientBase, tenantId: string): Promise<'moving' | 'elsewhere' | undefined> {
  const placement = await readPlacement(owner, tenantId);
  if (!placement || placement.state === 'moved') return 'elsewhere';
  return placement.mover !== null || placement.state === 'fenced' ? 'moving' : undefined;
}
