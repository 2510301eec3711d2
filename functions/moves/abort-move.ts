import { recordAudit } from '../registry/audit-log.ts';
import type { DataApi } from '../registry/data-api.ts';
import { now } from '../registry/registry-expressions.ts';
import { registrySql } from '../registry/registry-sql.ts';
import { MoveNotAbortable } from './errors.ts';
import { findMove, hopsOf } from './move-records.ts';

/**
 * Asks a move to stop. Its steps see it before the commit point of the hop they work on, and roll that hop back.
 * Asking again changes nothing.
 * @returns false where the tenant has no such move.
 * @throws {MoveNotAbortable} it has ended, or its last hop is committed.
 */
export function abortMove(
  registry: Pick<DataApi, 'transaction'>,
  { tenantId, moveId, operator }: { tenantId: string; moveId: string; operator: string },
): Promise<boolean> {
  return registry.transaction(async (transaction) => {
    const move = await findMove(transaction, moveId, { lock: true });
    if (!move || move.tenantId !== tenantId) return false;
    if (move.status !== 'running') throw new MoveNotAbortable('The move has ended already.');
    const last = (await hopsOf(transaction, moveId)).find(({ index }) => index === move.plan.length - 1);
    if (last && last.state !== 'working' && last.state !== 'rolling-back') {
      throw new MoveNotAbortable('The tenant has moved already; ask for a move back.');
    }
    if (move.abortRequested) return true;
    await registrySql(transaction)
      .updateTable('tenant_moves')
      .set({ abort_requested_at: now, abort_requested_by: operator, updated_at: now })
      .where('move_id', '=', moveId)
      .execute();
    await recordAudit(transaction, {
      ...{ actor: { id: operator, type: 'operator' }, action: 'move.abort', tenantId },
      ...{ resource: { type: 'move', id: moveId }, data: {} },
    });
    return true;
  });
}
