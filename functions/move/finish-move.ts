import { type AuditActor, recordAudit } from '../registry/audit-log.ts';
import type { DataApi, RegistryExecutor } from '../registry/data-api.ts';
import { FINISHED_PHASES } from './end-move.ts';
import { HopNotCommitted, MoveOvertaken } from './errors.ts';
import { type Onward, onwardOf } from './handover/go-onward.ts';
import { findMove, type HopRecord, hopsOf, isSettled, type MoveRecord, selectHops } from './move-records.ts';
import { type FollowUpMove, type MoveReport, reportMove, retriedOf } from './move-report.ts';
import { limitsUnder } from './move-rules.ts';
import { readMoveInput } from './move-target.ts';
import { boundTransaction, findMovingTenant, type MovingTenant } from './moving-tenant.ts';

/** What the execution ends with. */
export interface FinishedMove {
  readonly moveId: string;
  readonly tenantId: string;
  readonly status: 'succeeded';
  readonly report: MoveReport;
  /** What the region that the tenant has come to still has to do. */
  readonly onward?: Onward;
}

/**
 * Ends a move whose hops are all settled: the tenant has what it moved for, and the move its report. Repeating it
 * changes nothing.
 * @param actor who is recorded to have ended it; its workflow when absent.
 * @param followUp the move that was started in another region because this one ends there.
 * @throws {HopNotCommitted} a hop is missing.
 * @throws {MoveOvertaken} the move has ended in another way.
 */
export function finishMove(
  registry: Pick<DataApi, 'transaction'>,
  moveId: string,
  actor?: AuditActor,
  followUp?: FollowUpMove,
): Promise<FinishedMove> {
  return registry.transaction(async (transaction) => {
    await boundTransaction(transaction);
    const named = await findMove(transaction, moveId);
    // Always the tenant first, as those who ask for moves lock it.
    const tenant = named && (await findMovingTenant(transaction, named.tenantId, { lock: true }));
    const move = await findMove(transaction, moveId, { lock: true });
    if (!move || !tenant) throw new MoveOvertaken();
    const { tenantId, startedBy, plan } = move;
    if (move.status === 'succeeded')
      return {
        ...{ moveId, tenantId, status: move.status, report: await reportOf(transaction, moveId) },
        ...withOnward(move, tenant),
      };
    if (move.status !== 'running') throw new MoveOvertaken();
    const hops = await hopsOf(transaction, moveId);
    if (hops.filter(isSettled).length < plan.length) throw new HopNotCommitted();

    // Who has left the region is told of in the registry that it was handed over to.
    if (tenant.status !== 'elsewhere') await applyTarget(transaction, tenant, move);
    const { phases, seconds } = await endPhases(transaction, moveId);
    const retriedBefore = await retriesTold(transaction, tenantId, hops[0]);
    const report = reportMove({ startedBy, seconds, phases, hops, retriedBefore, followUp });
    await transaction.query(
      `UPDATE tenant_moves SET status = 'succeeded', report = :report::jsonb, finished_at = now(), updated_at = now()
       WHERE move_id = :moveId::uuid`,
      { moveId, report: JSON.stringify(report) },
    );
    const { writePauseMs, rows, bytes } = report;
    await recordAudit(transaction, {
      actor: actor ?? { id: move.executionArn ?? moveId, type: 'workflow' },
      ...{ action: 'move.succeed', tenantId },
      ...{ resource: { type: 'move', id: moveId }, data: { hops: hops.length, writePauseMs, rows, bytes } },
    });
    return { moveId, tenantId, status: 'succeeded', report, ...withOnward(move, tenant) };
  });
}

function withOnward(move: MoveRecord, tenant: MovingTenant): Pick<FinishedMove, 'onward'> {
  const onward = onwardOf(move, tenant);
  return onward ? { onward } : {};
}

/** Tier and residency; limits follow the tier, but for those that an operator had set for this tenant. */
async function applyTarget(
  transaction: RegistryExecutor,
  tenant: MovingTenant,
  { input, plan }: MoveRecord,
): Promise<void> {
  const { target } = readMoveInput(input);
  const tier = 'tier' in target ? target.tier : tenant.tier;
  const { maxUsers, maxStorageGb } = limitsUnder(tenant, tier);
  const dataResidency = 'residency' in target ? target.residency : null;
  await transaction.query(
    `UPDATE tenants SET subscription_tier = :tier, max_users = :maxUsers::int, max_storage_gb = :maxStorageGb::int,
            data_residency = COALESCE(:dataResidency, data_residency), home_region = COALESCE(:region, home_region),
            updated_at = now()
     WHERE tenant_id = :tenantId::uuid`,
    {
      ...{ tenantId: tenant.tenantId, tier, maxUsers, maxStorageGb, dataResidency },
      region: dataResidency === null ? null : (plan.at(-1)?.to.region ?? null),
    },
  );
}

async function endPhases(
  transaction: RegistryExecutor,
  moveId: string,
): Promise<{ phases: MoveRecord['phases']; seconds: number }> {
  const [row] = await transaction.query<{ phases: string; seconds: number }>(
    `UPDATE tenant_moves SET phase = 'finished', phases = ${FINISHED_PHASES}, current_pause_ms = NULL
     WHERE move_id = :moveId::uuid
     RETURNING phases::text AS phases, EXTRACT(epoch FROM clock_timestamp() - started_at)::float8 AS seconds`,
    { moveId },
  );
  return { phases: JSON.parse(row!.phases) as MoveRecord['phases'], seconds: row!.seconds };
}

/** What the report of the move that brought the tenant to where this one began has counted there. */
async function retriesTold(
  transaction: RegistryExecutor,
  tenantId: string,
  first: HopRecord | undefined,
): Promise<number> {
  if (!first) return 0;
  const earlier = await selectHops(
    transaction,
    "h.tenant_id = :tenantId::uuid AND h.state IN ('settled', 'cleaned')",
    {
      tenantId,
    },
  );
  const arrival = earlier.find(({ target }) => target.epoch === first.source.epoch);
  return arrival ? retriedOf(arrival.result).target : 0;
}

async function reportOf(transaction: RegistryExecutor, moveId: string): Promise<MoveReport> {
  const [row] = await transaction.query<{ report: string }>(
    'SELECT report::text AS report FROM tenant_moves WHERE move_id = :moveId::uuid',
    { moveId },
  );
  return JSON.parse(row!.report) as MoveReport;
}
