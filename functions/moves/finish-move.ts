import { sql } from 'kysely';
import { type AuditActor, recordAudit } from '../registry/audit-log.ts';
import type { DataApi, RegistryExecutor } from '../registry/data-api.ts';
import { parseJson } from '../registry/registry-column.ts';
import { now } from '../registry/registry-expressions.ts';
import { registrySql } from '../registry/registry-sql.ts';
import { boundTransaction } from '../registry/transaction-limits.ts';
import { finishedPhases } from './end-move.ts';
import { HopNotCommitted, MoveOvertaken } from './errors.ts';
import { findMove, type HopRecord, hopsOf, isSettled, type MoveRecord, selectHops } from './move-records.ts';
import { type FollowUpMove, type MoveReport, reportMove, retriedOf } from './move-report.ts';
import { limitsUnder } from './move-rules.ts';
import { readMoveInput } from './move-target.ts';
import { findMovingTenant, type MovingTenant } from './moving-tenant.ts';
import { type Onward, onwardOf } from './other-region/go-onward.ts';

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
    await registrySql(transaction)
      .updateTable('tenant_moves')
      .set({ status: 'succeeded', report, finished_at: now, updated_at: now })
      .where('move_id', '=', moveId)
      .execute();
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
  const region = plan.at(-1)?.to.region;
  await registrySql(transaction)
    .updateTable('tenants')
    .set({
      ...{ subscription_tier: tier, max_users: maxUsers, max_storage_gb: maxStorageGb, updated_at: now },
      ...('residency' in target
        ? { data_residency: target.residency, ...(region === undefined ? {} : { home_region: region }) }
        : {}),
    })
    .where('tenant_id', '=', tenant.tenantId)
    .execute();
}

async function endPhases(
  transaction: RegistryExecutor,
  moveId: string,
): Promise<{ phases: MoveRecord['phases']; seconds: number }> {
  const row = await registrySql(transaction)
    .updateTable('tenant_moves')
    .set({ phase: 'finished', phases: finishedPhases, current_pause_ms: null })
    .where('move_id', '=', moveId)
    .returning([
      'phases',
      sql<number>`cast(extract(epoch from clock_timestamp() - started_at) as double precision)`.as('seconds'),
    ])
    .executeTakeFirstOrThrow();
  return { phases: parseJson(row.phases) as unknown as MoveRecord['phases'], seconds: row.seconds };
}

/** What the report of the move that brought the tenant to where this one began has counted there. */
async function retriesTold(
  transaction: RegistryExecutor,
  tenantId: string,
  first: HopRecord | undefined,
): Promise<number> {
  if (!first) return 0;
  const earlier = await selectHops(transaction, (hops) =>
    hops.where('h.tenant_id', '=', tenantId).where('h.state', 'in', ['settled', 'cleaned']),
  );
  const arrival = earlier.find(({ target }) => target.epoch === first.source.epoch);
  return arrival ? retriedOf(arrival.result).target : 0;
}

async function reportOf(transaction: RegistryExecutor, moveId: string): Promise<MoveReport> {
  const { report } = await registrySql(transaction)
    .selectFrom('tenant_moves')
    .select((eb) => eb.ref('report').$notNull().as('report'))
    .where('move_id', '=', moveId)
    .executeTakeFirstOrThrow();
  return parseJson(report) as MoveReport;
}
