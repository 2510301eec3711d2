import { randomUUID } from 'node:crypto';
import { findPlace, type Place, placeBeside, planPlace, sameLocation } from '../places/place.ts';
import type { DataApi, RegistryExecutor } from '../registry/data-api.ts';
import { now } from '../registry/registry-expressions.ts';
import { registrySql } from '../registry/registry-sql.ts';
import { boundTransaction } from '../registry/transaction-limits.ts';
import { MoveAborted, MoveInProgress, MoveOvertaken } from './errors.ts';
import { leavesRegion, type Regions } from './hop.ts';
import { findMove, hopsOf, isOpen, isSettled, type MoveRecord, selectHops } from './move-records.ts';

/** What the workflow does next. */
export interface NextHop {
  readonly moveId: string;
  readonly tenantId: string;
  /** The length of the plan when all hops are done. */
  readonly hopIndex: number;
  readonly finished: boolean;
  /** The hop needs a dedicated database, new or existing. */
  readonly needsDatabase: boolean;
  /** The hop needs a new secret, which the cell's proxy must accept. */
  readonly needsSecret: boolean;
  /** The target is to be filled with rows of a backup, or of an earlier place: a restore. */
  readonly needsFilling: boolean;
}

/**
 * Opens the next hop of the plan, from the tenant's current place, or finds the one that is open already.
 * @throws {MoveAborted} an abort was requested, and there is a hop left.
 * @throws {MoveOvertaken} the move has ended, is being rolled back, or the tenant is not where the plan expects it.
 * @throws {MoveInProgress} a hop of another move is open.
 */
export function nextHop(
  registry: Pick<DataApi, 'transaction'>,
  moveId: string,
  regions?: Regions,
): Promise<NextHop> {
  return registry.transaction(async (transaction) => {
    await boundTransaction(transaction);
    const move = await findMove(transaction, moveId, { lock: true });
    if (move?.status !== 'running') throw new MoveOvertaken();
    const { tenantId, plan } = move;
    const hops = await hopsOf(transaction, moveId);
    const hopIndex = hops.filter(isSettled).length;
    const planned = plan[hopIndex];
    if (!planned) {
      const nothing = { needsDatabase: false, needsSecret: false, needsFilling: false };
      return { moveId, tenantId, hopIndex, finished: true, ...nothing };
    }
    const known = hops.find(({ index }) => index === hopIndex);
    if (known && known.state !== 'working' && known.state !== 'committed') throw new MoveOvertaken();
    if (move.abortRequested && known?.state !== 'committed') {
      if (move.restore === null || hopIndex === 0) throw new MoveAborted();
      // It was requested while the rows were swapped. What is left only takes a Starter tenant back to the shared tables.
      await forgetAbort(transaction, moveId);
    }
    if (!known) await openHop(transaction, move, hopIndex, regions);
    // A restore of an isolated tenant stays in its database, with its role.
    const leaves = !sameLocation(planned.from, planned.to);
    return {
      moveId,
      tenantId,
      hopIndex,
      finished: false,
      needsDatabase: leaves && planned.to.isolationModel === 'dedicated',
      needsSecret: leaves && planned.to.isolationModel === 'schema',
      needsFilling: planned.filling !== undefined,
    };
  });
}

async function forgetAbort(transaction: RegistryExecutor, moveId: string): Promise<void> {
  await registrySql(transaction)
    .updateTable('tenant_moves')
    .set({ abort_requested_at: null, abort_requested_by: null, updated_at: now })
    .where('move_id', '=', moveId)
    .execute();
}

async function openHop(
  transaction: RegistryExecutor,
  { moveId, tenantId, plan }: MoveRecord,
  hopIndex: number,
  regions: Regions | undefined,
): Promise<void> {
  const earlier = await selectHops(transaction, (hops) => hops.where('h.tenant_id', '=', tenantId));
  if (earlier.some(isOpen)) throw new MoveInProgress();
  const planned = plan[hopIndex]!;
  const source = await findPlace(transaction, tenantId);
  if (!source || !sameLocation(planned.from, source)) throw new MoveOvertaken();
  const suffix = nextSuffix(
    source,
    earlier.map((hop) => hop.source),
  );
  const { poolSize } = source;
  const wanted = { tenantId, location: planned.to, epoch: source.epoch + 1, suffix, poolSize };
  const leaving = regions && leavesRegion({ source: planned.from, target: planned.to });
  const target = sameLocation(planned.from, planned.to)
    ? placeBeside(source, tenantId, suffix)
    : await planPlace(leaving ? regions.of(planned.to.region) : transaction, wanted);
  if (leaving) await announce(transaction, regions, tenantId, target);
  await registrySql(transaction)
    .insertInto('tenant_move_hops')
    .values({
      move_id: moveId,
      hop_index: hopIndex,
      attempt_id: randomUUID(),
      tenant_id: tenantId,
      kind: planned.kind,
      suffix,
      source,
      target,
      filling: planned.filling ?? null,
    })
    .execute();
}

/**
 * Before the hop is recorded: after an interruption here the tenant is announced to the other region, but no hop is
 * open.
 */
async function announce(
  transaction: RegistryExecutor,
  regions: Regions,
  tenantId: string,
  target: Place,
): Promise<void> {
  const { announceTenant } = await import('./other-region/announce-tenant.ts');
  const { lockTenantRow } = await import('./other-region/tenant-row.ts');
  const row = await lockTenantRow(transaction, tenantId);
  if (!row) throw new MoveOvertaken();
  await announceTenant(regions.of(target.region), row, target);
}

/** `<epoch>a<number>`, so that no two attempts share a name, however often a tenant leaves a place. */
function nextSuffix({ epoch }: Place, earlierSources: readonly Place[]): string {
  const tries = earlierSources.filter((source) => source.epoch === epoch).length;
  return `${epoch + 1}a${tries + 1}`;
}
