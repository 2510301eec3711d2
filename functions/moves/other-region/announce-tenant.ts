import { sql } from 'kysely';
import type { Tier } from '../../contracts/tenant.ts';
import { tierTerms } from '../../contracts/tier-terms.ts';
import { type Cell, chooseCell, hasRoom, readCellRoom } from '../../placement/choose-cell.ts';
import type { Place } from '../../places/place.ts';
import type { DataApi, RegistryExecutor } from '../../registry/data-api.ts';
import { asText, columnValue, now } from '../../registry/registry-expressions.ts';
import { registrySql } from '../../registry/registry-sql.ts';
import { boundTransaction, lockByName } from '../../registry/transaction-limits.ts';
import { MoveForbidden, MoveOvertaken } from '../errors.ts';
import { type Hop, leavesRegion, type Regions } from '../hop.ts';
import type { HopRecord, MoveRecord } from '../move-records.ts';
import { leaveRegistry, lockTenantRow, type TenantRow, writeRoute, writeTenantRow } from './tenant-row.ts';

type Registry = Pick<DataApi, 'query' | 'transaction'>;

/**
 * Adds a tenant to the registry of the region that it moves to, as `arriving`: this reserves its name and its room in
 * the cell, and no request is served there yet. May be repeated, also for another attempt.
 * @throws {MoveForbidden} another tenant there has its name, or the cell has filled up since the move was planned.
 * {MoveOvertaken} the tenant lives there.
 */
export function announceTenant(registry: Registry, tenant: TenantRow, place: Place): Promise<void> {
  const tenantId = String(tenant.tenant_id);
  return registry.transaction(async (transaction) => {
    await boundTransaction(transaction);
    const known = await lockTenantRow(transaction, tenantId);
    if (known && known.status !== 'arriving' && known.status !== 'elsewhere') throw new MoveOvertaken();
    if (await isNameTaken(transaction, tenant)) throw new MoveForbidden([nameTaken(place.region)]);
    await requireRoom(transaction, tenantId, place);
    const { region } = place;
    await writeTenantRow(transaction, {
      ...tenant,
      status: 'arriving',
      data_residency: region,
      home_region: region,
    });
    // A dedicated database has no address before its launch.
    if (place.host !== null) await writeRoute(transaction, tenantId, place);
  });
}

/**
 * A plan may be hours old, and plans of other regions are not visible here: the cell's lock decides who gets the room.
 */
async function requireRoom(
  transaction: RegistryExecutor,
  tenantId: string,
  { cellId, region, isolationModel }: Place,
): Promise<void> {
  if (cellId === null) return;
  const cell = await readCellRoom(transaction, cellId, tenantId);
  if (cell && hasRoom(cell, isolationModel)) return;
  const detail = `Cell ${cellId} of region "${region}" has no room for another tenant any more.`;
  throw new MoveForbidden([{ rule: 'cell', detail }]);
}

/** A reason why a tenant cannot move to a region. */
export const nameTaken = (region: string) =>
  ({ rule: 'name', detail: `Another tenant of region "${region}" has the same name.` }) as const;

export async function isNameTaken(
  registry: Pick<DataApi, 'query'>,
  { tenant_id: tenantId, tenant_name: name }: { readonly tenant_id?: unknown; readonly tenant_name: string },
): Promise<boolean> {
  const rows = await registrySql(registry)
    .selectFrom('tenants')
    .select('tenant_id')
    .where('tenant_name', '=', name)
    .where('tenant_id', '<>', String(tenantId))
    .execute();
  return rows.length > 0;
}

/** Adds the secret of the tenant's login role, so that the cell's proxy will accept it. */
export async function announceSecret(registry: Registry, { attempt, target }: Hop): Promise<void> {
  await registrySql(registry)
    .updateTable('tenant_database_routing as r')
    .from('tenants as t')
    .set({ secret_arn: target.secretArn, updated_at: now })
    .whereRef('t.tenant_id', '=', 'r.tenant_id')
    .where('r.tenant_id', '=', attempt.tenantId)
    .where('t.status', '=', 'arriving')
    .where('r.epoch', '=', target.epoch)
    .execute();
}

/**
 * Removes the announcement from the other region's registry when a stopped move has not brought the tenant there. Does
 * nothing when the tenant was never announced there.
 * @param hops of the move, in their current state.
 */
export async function cancelUnlessArrived(
  regions: Regions,
  { tenantId, plan }: Pick<MoveRecord, 'tenantId' | 'plan'>,
  hops: readonly HopRecord[],
): Promise<void> {
  const leaving = plan.find(({ from, to }) => from.region !== to.region);
  const arrived = hops.some((hop) => leavesRegion(hop) && hop.state !== 'rolled-back');
  if (!leaving || arrived) return;
  await regions.of(leaving.to.region).transaction(async (transaction) => {
    await boundTransaction(transaction);
    await leaveRegistry(transaction, tenantId, leaving.from.region, ['arriving']);
  });
}

/**
 * Chooses the cell of another region that gets a tenant. Only whole schemas move between regions: unless the tenant has
 * a dedicated database, it takes the place of a schema there, whatever its tier, until a follow-up move of that region
 * takes it to its tier's place.
 *
 * The tenant is announced to that region's registry when the hop to the other region opens, which may be hours later.
 * Until then this registry counts the places that its own plans will need. It does not see moves of a third region and
 * concurrent onboardings: the announcement decides.
 * @param own registry of the source's region; the move must be recorded in this transaction.
 * @throws {NoCellCapacity} no active cell there has room.
 */
export async function chooseCellInRegion(
  own: RegistryExecutor,
  there: Pick<DataApi, 'transaction'>,
  { tier, dataResidency }: { readonly tier: Tier; readonly dataResidency: string },
): Promise<Cell> {
  const needsSchema = tierTerms[tier].isolationModel !== 'dedicated';
  const promised = needsSchema ? await promisedSchemas(own, dataResidency) : undefined;
  return there.transaction((transaction) =>
    chooseCell(transaction, { tier, dataResidency, needsSchema, promised }),
  );
}

/** By cell, the tenants whose moves will take them there and that are not announced there yet. */
async function promisedSchemas(own: RegistryExecutor, region: string): Promise<Map<string, number>> {
  const db = registrySql(own);
  // Concurrent plans must count each other, so counting is a separate statement, whose snapshot is taken after the
  // lock.
  await lockByName(own, `strata moves to ${region}`);
  const rows = await db
    .selectFrom('tenant_moves as m')
    .select((eb) => [
      sql<string>`m.plan -> -1 -> 'to' ->> 'cellId'`.as('cell_id'),
      eb.fn.countAll<number>().as('schemas'),
    ])
    .where('m.status', '=', 'running')
    .where(
      sql<boolean>`m.plan -> -1 -> 'to'
        @> jsonb_build_object('region', ${asText(columnValue('cells.region', region))}, 'isolationModel', 'schema')`,
    )
    .where((eb) =>
      eb.not(
        eb.exists(
          eb
            .selectFrom('tenant_move_hops as h')
            .select('h.hop_index')
            .whereRef('h.move_id', '=', 'm.move_id')
            .where('h.hop_index', '=', sql<number>`jsonb_array_length(m.plan) - 1`),
        ),
      ),
    )
    .groupBy('cell_id')
    .execute();
  return new Map(rows.map(({ cell_id: cellId, schemas }) => [cellId, schemas]));
}
