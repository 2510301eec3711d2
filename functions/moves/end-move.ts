import { sql } from 'kysely';
import { type AuditActor, recordAudit } from '../registry/audit-log.ts';
import type { RegistryExecutor } from '../registry/data-api.ts';
import type { JsonText, TimeWithoutZone } from '../registry/registry-column.ts';
import { now, rfc3339 } from '../registry/registry-expressions.ts';
import { registrySql } from '../registry/registry-sql.ts';
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
  const ended = await registrySql(transaction)
    .updateTable('tenant_moves')
    .set({
      status,
      reason,
      phases: finishedPhases,
      current_pause_ms: null,
      finished_at: now,
      updated_at: now,
    })
    .where('move_id', '=', moveId)
    .where('status', '=', 'running')
    .returning('move_id')
    .execute();
  if (ended.length === 0) return false;
  await recordAudit(transaction, {
    ...{ actor, action: status === 'aborted' ? 'move.aborted' : 'move.fail', tenantId },
    resource: { type: 'move', id: moveId },
    data: { reason },
  });
  return true;
}

/** Time as the API shows it, in the statement's moment. */
export const clock = rfc3339(sql<TimeWithoutZone>`clock_timestamp()`, 'MS');

type Phases = JsonText<readonly Readonly<Record<string, unknown>>[]>;

/** `tenant_moves.phases` with the running ones done: no phase outlives its move, nor the beginning of the next one. */
export const finishedPhases = sql<Phases>`(
  select coalesce(jsonb_agg(case when p ->> 'status' = 'running'
           then p || jsonb_build_object('status', 'done', 'finishedAt', ${clock}) else p end order by n),
         jsonb_build_array())
  from jsonb_array_elements(phases) with ordinality as each (p, n))`;
