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
 * Makes a tenant known in the registry of the region that it is going to, as `arriving`: its name and its room in the
 * cell are taken, nobody is served yet. May be repeated, for another attempt too.
 * @throws {MoveForbidden} another tenant there has its name, or the cell has filled up since the move was planned.
 *   {MoveOvertaken} it lives there.
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
      ...{ status: 'arriving', data_residency: region, home_region: region },
    });
    // A dedicated database has no address before it is launched.
    if (place.host !== null) await writeRoute(transaction, tenantId, place);
  });
}

/** A plan may be hours old, and those of other regions do not know of it: the cell's lock decides who gets a place. */
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

/** Why a tenant cannot go to a region. */
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

/** Adds the secret with which the tenant will sign in, so that the cell's proxy is told to accept it. */
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
 * Where a move that is stopped has not brought the tenant to the other region, that region's registry forgets it again. Does
 * nothing where the tenant was never announced there.
 * @param hops of the move, as they are now.
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
 * Picks the cell of another region in which a tenant lands. Only whole schemas cross a border: whatever the tenant has
 * bought, unless it is a database of its own, it takes the place of a schema there, until a move of that region
 * brings it where it belongs.
 *
 * That region's registry is told of the tenant when the hop over the border opens, which may be hours later. Until then
 * this registry counts for itself whom it has promised a place. The moves of a third region, and who is onboarded
 * meanwhile, it does not know: the announcement decides.
 * @param own of the region that the tenant leaves; the move has to be recorded in this transaction.
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

/** By cell, the tenants whose moves will take them there and are not announced there yet. */
async function promisedSchemas(own: RegistryExecutor, region: string): Promise<Map<string, number>> {
  const db = registrySql(own);
  // Plans that are made at once count each other. Counting is a statement of its own, with a snapshot after the lock's.
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
