import { hasRoom, readCellRoom } from '../../placement/choose-cell.ts';
import type { DataApi, RegistryExecutor } from '../../registry/data-api.ts';
import { now } from '../../registry/registry-expressions.ts';
import { registrySql } from '../../registry/registry-sql.ts';
import { boundTransaction } from '../../registry/transaction-limits.ts';
import { MoveForbidden, MoveOvertaken } from '../errors.ts';
import type { Hop, Place } from '../hop.ts';
import { becomeElsewhere, lockTenantRow, type TenantRow, writeRoute, writeTenantRow } from './tenant-row.ts';

type Registry = Pick<DataApi, 'query' | 'transaction'>;

/**
 * Makes a tenant known in the registry of the region that it is going to, as `arriving`: its name and its room in the
 * cell are taken, nobody is served yet. May be repeated, for another attempt too.
 * @throws {MoveForbidden} another tenant there has its name, or the cell has filled up since the move was planned.
 *   {MoveOvertaken} it lives there.
 */
export function announceArrival(registry: Registry, tenant: TenantRow, place: Place): Promise<void> {
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

/** The tenant stays where it is, in region `stays`. Does nothing where it has arrived, or was never announced. */
export function withdrawAnnouncement(registry: Registry, tenantId: string, stays: string): Promise<void> {
  return registry.transaction(async (transaction) => {
    await boundTransaction(transaction);
    await becomeElsewhere(transaction, tenantId, stays, ['arriving']);
  });
}
