import type pg from 'pg';
import type { Attempt } from './claim.ts';

/**
 * The forward of a tenant that an attempt takes to another database, with what is worth knowing of it afterwards:
 * whose the commit was, and how long writes had been paused, should nobody live to tell.
 */
export function departure(
  forward: Readonly<Record<string, unknown>>,
  { attemptId }: Attempt,
  pauseMs: number,
): Record<string, unknown> {
  return { ...forward, attempt_id: attemptId, pause_ms: pauseMs };
}

/** Whether the attempt has taken the tenant from this database, however long ago. */
export async function departureOf(
  owner: pg.ClientBase,
  { tenantId, epoch, attemptId }: Attempt,
): Promise<{ readonly pauseMs: number } | undefined> {
  const { rows } = await owner.query<{ pause: number }>(
    `select (forward ->> 'pause_ms')::double precision as pause from tenancy.placement
     where tenant_id = $1 and state = 'moved' and epoch = $2 and forward ->> 'attempt_id' = $3`,
    [tenantId, epoch + 1, attemptId],
  );
  return rows[0] && { pauseMs: rows[0].pause };
}
