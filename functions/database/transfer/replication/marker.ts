import { randomUUID } from 'node:crypto';
import { setTimeout as delay } from 'node:timers/promises';
import type pg from 'pg';
import { qualified } from '../../ddl/identifier.ts';
import type { Attempt } from '../claim.ts';
import type { Fence } from '../fence.ts';

/** WAL is sent once it is flushed; with asynchronous commits that could be 200 ms later. */
const FLUSHED = "pg_catalog.set_config('synchronous_commit', 'on', true) = 'on'";

const markers = (schemaName: string) => qualified(schemaName, 'move_markers');

/**
 * Writes the fence's token behind everything that was written before the fence. One statement and one round trip, which also
 * checks that the fence is up.
 * @returns whether it is.
 */
export async function markFence(
  source: pg.ClientBase,
  schemaName: string,
  { tenantId, attemptId }: Attempt,
  { token }: Fence,
): Promise<boolean> {
  const { rowCount } = await source.query(
    `insert into ${markers(schemaName)} (marker)
     select fence_token from tenancy.placement
     where tenant_id = $1 and mover = $2 and state = 'fenced' and fence_token = $3 and ${FLUSHED}`,
    [tenantId, attemptId, token],
  );
  return rowCount === 1;
}

/** Writes a marker to measure how long it takes; part of the caller's transaction. */
export async function markRehearsal(source: pg.ClientBase, schemaName: string): Promise<string> {
  const marker = randomUUID();
  await source.query(`insert into ${markers(schemaName)} (marker) select $1 where ${FLUSHED}`, [marker]);
  return marker;
}

/**
 * Waits until the marker has arrived.
 * @param until on `performance.now()`'s clock.
 * @returns whether it came in time.
 */
export async function awaitMarker(
  target: pg.ClientBase,
  schemaName: string,
  marker: string,
  until: number,
): Promise<boolean> {
  const sql = `select from ${markers(schemaName)} where marker = $1`;
  for (let pause = 1; ; pause = Math.min(pause * 1.3, 10)) {
    if ((await target.query(sql, [marker])).rowCount === 1) return true;
    if (performance.now() + pause > until) return false;
    await delay(pause);
  }
}

/** Does nothing where the schema is gone, or not there yet. */
export async function clearMarkers(owner: pg.ClientBase, schemaName: string): Promise<void> {
  const { rows } = await owner.query<{ there: boolean }>(
    "select exists (select from pg_catalog.pg_tables where schemaname = $1 and tablename = 'move_markers') as there",
    [schemaName],
  );
  if (rows[0]?.there) await owner.query(`delete from ${markers(schemaName)}`);
}
