import { DEFAULT_DATABASE_SIZE } from '../contracts/database-size.ts';
import type { IsolationModel, Tier } from '../contracts/tenant.ts';
import { tierTerms } from '../contracts/tier-terms.ts';
import { chooseCell, hasRoom, readCellRoom } from '../placement/choose-cell.ts';
import { NoCellCapacity } from '../placement/errors.ts';
import { databaseSizeOf, type Location } from '../places/place.ts';
import type { RegistryExecutor } from '../registry/data-api.ts';
import { registrySql } from '../registry/registry-sql.ts';
import { type Forbidden, InvalidMoveInput } from './errors.ts';
import type { Regions } from './hop.ts';
import type { MovingTenant } from './move-records.ts';
import type { MoveTarget } from './move-target.ts';
import type { chooseCellInRegion } from './other-region/announce-tenant.ts';

/** The tenant's tier, residency and cell after the move. */
export interface ResolvedTarget {
  readonly tier: Tier;
  readonly dataResidency: string;
  /** null when no cell takes it. */
  readonly location: Location | null;
  /** The rules of cells that refuse it. */
  readonly forbidden: readonly Forbidden[];
}

/**
 * Finds the place for a target. A tier keeps residency and, if possible, the cell. A cell keeps the tier. A residency
 * keeps the tier too and takes, of the cells with room, the one with the fewest tenants. The isolation model follows
 * from the tier, so a tenant that an unfinished move left between two tiers gets its tier's model. A size may be given
 * with a tier or a residency; otherwise a dedicated database keeps its size, and a new one has the usual one. Locks the
 * cells that it counts.
 * @param regions registries to read for a residency that this region does not serve.
 * @throws {InvalidMoveInput} there is no such cell or residency.
 */
export async function resolveTarget(
  transaction: RegistryExecutor,
  tenant: MovingTenant,
  target: MoveTarget,
  regions?: Regions,
): Promise<ResolvedTarget> {
  const tier = 'tier' in target ? target.tier : tenant.tier;
  const { isolationModel } = tierTerms[tier];
  if ('cell' in target) return inCell(transaction, tenant, target.cell, isolationModel);
  const dataResidency = 'residency' in target ? target.residency : tenant.dataResidency;
  const known = { tier, dataResidency };
  const { location: here } = tenant;
  const size = 'size' in target ? target.size : undefined;
  if (size !== undefined && isolationModel !== 'dedicated') {
    const detail = `A tenant of the ${tier} tier has no database of its own, so it has no size.`;
    return { ...known, location: null, forbidden: [{ rule: 'size', detail }] };
  }
  const ofSize = {
    databaseSize:
      size ?? (here?.isolationModel === 'dedicated' ? databaseSizeOf(here) : DEFAULT_DATABASE_SIZE),
  };
  const served = await isServedByRegion(transaction, dataResidency);
  // A region's name is the residency of its data.
  const otherRegion = served ? undefined : regions?.keys.includes(dataResidency) && regions.of(dataResidency);
  if ('residency' in target && !served && !otherRegion) throw noResidency();
  if (dataResidency === tenant.dataResidency && here) {
    if (isolationModel === 'dedicated') {
      const location = { isolationModel, cellId: null, region: here.region, ...ofSize };
      return { ...known, location, forbidden: [] };
    }
    if (here.cellId !== null && (await mayStay(transaction, tenant, here, isolationModel))) {
      return { ...known, location: { ...here, isolationModel }, forbidden: [] };
    }
  }
  try {
    const { cell_id, region } = otherRegion
      ? await chooseCellThere(transaction, otherRegion, known)
      : await chooseCell(transaction, known);
    if (isolationModel === 'dedicated') {
      return { ...known, location: { isolationModel, cellId: null, region, ...ofSize }, forbidden: [] };
    }
    return { ...known, location: { isolationModel, cellId: cell_id, region }, forbidden: [] };
  } catch (error) {
    if (!(error instanceof NoCellCapacity)) throw error;
    return { ...known, location: null, forbidden: [{ rule: 'cell', detail: error.message }] };
  }
}

async function chooseCellThere(...args: Parameters<typeof chooseCellInRegion>) {
  const otherRegion = await import('./other-region/announce-tenant.ts');
  return otherRegion.chooseCellInRegion(...args);
}

async function inCell(
  transaction: RegistryExecutor,
  tenant: MovingTenant,
  cellId: string,
  isolationModel: IsolationModel,
): Promise<ResolvedTarget> {
  const cell = await readCellRoom(transaction, cellId, tenant.tenantId);
  if (!cell) throw new InvalidMoveInput([{ path: 'targetCell', message: 'is not a cell' }]);
  const { tier, dataResidency } = tenant;
  if (isolationModel === 'dedicated') {
    const detail = 'A tenant with a database of its own lives in no cell.';
    return { tier, dataResidency, location: null, forbidden: [{ rule: 'cell', detail }] };
  }
  const location: Location = { isolationModel, cellId, region: cell.region };
  const forbidden: Forbidden[] = [];
  if (cell.data_residency !== dataResidency) {
    const detail = `The cell keeps data in "${cell.data_residency}", the tenant's is to stay in "${dataResidency}": ask for the residency.`;
    forbidden.push({ rule: 'residency', detail });
  }
  const stays = tenant.location?.cellId === cellId && tenant.location.isolationModel === isolationModel;
  if (!stays && !hasRoom(cell, isolationModel)) {
    forbidden.push({ rule: 'cell', detail: 'The cell takes no more tenants of this kind.' });
  }
  return { tier, dataResidency, location, forbidden };
}

/** A move down does not need new room in the tenant's own cell; only a cell that is being emptied refuses it. */
async function mayStay(
  transaction: RegistryExecutor,
  tenant: MovingTenant,
  here: Location,
  isolationModel: IsolationModel,
): Promise<boolean> {
  if (here.isolationModel === isolationModel) return true;
  const cell = await readCellRoom(transaction, here.cellId as string, tenant.tenantId);
  if (!cell) return false;
  return isolationModel === 'shared' ? cell.status !== 'draining' : hasRoom(cell, isolationModel);
}

async function isServedByRegion(transaction: RegistryExecutor, dataResidency: string): Promise<boolean> {
  const served = await registrySql(transaction)
    .selectFrom('cells')
    .select('cell_id')
    .where('data_residency', '=', dataResidency)
    .limit(1)
    .execute();
  return served.length > 0;
}

const noResidency = () =>
  new InvalidMoveInput([{ path: 'targetResidency', message: 'is not a region that is served' }]);
