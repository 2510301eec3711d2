import { type AuditActor, recordAudit } from '../registry/audit-log.ts';
import type { RegistryExecutor } from '../registry/data-api.ts';
import type { MoveStatus } from './move-records.ts';

export interface MoveEnd {
  readonly status: Exclude<MoveStatus, 'running' | 'succeeded'>;
  /** Fit for a client. */
  readonly reason: string;
}

/** Ends a move that did not succeed, unless it has ended already. @returns whether it was running. */
export async function endMove(
  transaction: RegistryExecutor,
  { moveId, tenantId }: { moveId: string; tenantId: string },
  { status, reason }: MoveEnd,
  actor: AuditActor,
): Promise<boolean> {
  const ended = await transaction.query(
    `UPDATE tenant_moves SET status = :status, reason = :reason, phases = ${FINISHED_PHASES},
            current_pause_ms = NULL, finished_at = now(), updated_at = now()
     WHERE move_id = :moveId::uuid AND status = 'running' RETURNING move_id`,
    { moveId, status, reason },
  );
  if (ended.length === 0) return false;
  await recordAudit(transaction, {
    ...{ actor, action: status === 'aborted' ? 'move.aborted' : 'move.fail', tenantId },
    resource: { type: 'move', id: moveId },
    data: { reason },
  });
  return true;
}

/** Time as the API shows it, in the statement's moment. */
export const CLOCK = `to_char(clock_timestamp() AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"')`;

/** `tenant_moves.phases` with the running ones done: no phase outlives its move, nor the beginning of the next one. */
export const FINISHED_PHASES = `(
  SELECT COALESCE(jsonb_agg(CASE WHEN p ->> 'status' = 'running'
           THEN p || jsonb_build_object('status', 'done', 'finishedAt', ${CLOCK}) ELSE p END ORDER BY n), '[]'::jsonb)
  FROM jsonb_array_elements(phases) WITH ORDINALITY AS each (p, n))`;
