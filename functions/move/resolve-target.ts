import type { RegistryExecutor } from '../database/registry/data-api.ts';
import type { IsolationModel, Tier } from '../database/registry/tenant-record.ts';
import { chooseCell } from '../placement/choose-cell.ts';
import { NoCellCapacity } from '../placement/errors.ts';
import { tierTerms } from '../placement/tier-terms.ts';
import { type Forbidden, InvalidMoveInput } from './errors.ts';
import type { MoveTarget } from './move-target.ts';
import type { MovingTenant } from './moving-tenant.ts';
import type { Spot } from './plan.ts';
import type { Regions } from './regions.ts';

/** What the tenant will have, and where. */
export interface ResolvedTarget {
  readonly tier: Tier;
  readonly dataResidency: string;
  /** null where no cell takes it. */
  readonly spot: Spot | null;
  /** What the cells have against it. */
  readonly forbidden: readonly Forbidden[];
}

interface CellRow {
  readonly region: string;
  readonly data_residency: string;
  readonly status: string;
  readonly max_business_tenants: number;
  readonly business_tenants: number;
}

/**
 * Finds the place for a target. A tier keeps residency and, where it can, the cell; a cell keeps the tier; a residency
 * keeps the tier too and takes the cell with the fewest tenants. The isolation model follows from the tier, so that a
 * tenant which an unfinished move left between two tiers gets what it bought. Locks the cells that it counts.
 * @param regions whose registries are asked for a residency that this one does not serve.
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
  const served = await isServedHere(transaction, dataResidency);
  // A region keeps the data of the residency of its name.
  const elsewhere = served ? undefined : regions?.keys.includes(dataResidency) && regions.of(dataResidency);
  if ('residency' in target && !served && !elsewhere) throw noResidency();
  const { spot: here } = tenant;
  if (dataResidency === tenant.dataResidency && here) {
    if (isolationModel === 'dedicated') {
      return { ...known, spot: { isolationModel, cellId: null, region: here.region }, forbidden: [] };
    }
    if (here.cellId !== null && (await mayStay(transaction, tenant, here, isolationModel))) {
      return { ...known, spot: { ...here, isolationModel }, forbidden: [] };
    }
  }
  try {
    const { cell_id, region } = elsewhere
      ? await elsewhere.transaction((there) => chooseCell(there, known))
      : await chooseCell(transaction, known);
    const cellId = isolationModel === 'dedicated' ? null : cell_id;
    return { ...known, spot: { isolationModel, cellId, region }, forbidden: [] };
  } catch (error) {
    if (!(error instanceof NoCellCapacity)) throw error;
    return { ...known, spot: null, forbidden: [{ rule: 'cell', detail: error.message }] };
  }
}

async function inCell(
  transaction: RegistryExecutor,
  tenant: MovingTenant,
  cellId: string,
  isolationModel: IsolationModel,
): Promise<ResolvedTarget> {
  const cell = await readCell(transaction, tenant, cellId);
  if (!cell) throw new InvalidMoveInput([{ path: 'targetCell', message: 'is not a cell' }]);
  const { tier, dataResidency } = tenant;
  if (isolationModel === 'dedicated') {
    const detail = 'A tenant with a database of its own lives in no cell.';
    return { tier, dataResidency, spot: null, forbidden: [{ rule: 'cell', detail }] };
  }
  const spot: Spot = { isolationModel, cellId, region: cell.region };
  const forbidden: Forbidden[] = [];
  if (cell.data_residency !== dataResidency) {
    const detail = `The cell keeps data in "${cell.data_residency}", the tenant's is to stay in "${dataResidency}": ask for the residency.`;
    forbidden.push({ rule: 'residency', detail });
  }
  const stays = tenant.spot?.cellId === cellId && tenant.spot.isolationModel === isolationModel;
  if (!stays && !hasRoom(cell, isolationModel)) {
    forbidden.push({ rule: 'cell', detail: 'The cell takes no more tenants of this kind.' });
  }
  return { tier, dataResidency, spot, forbidden };
}

/** Going down, a tenant gives its cell room; only a cell that is being emptied does not keep it. */
async function mayStay(
  transaction: RegistryExecutor,
  tenant: MovingTenant,
  here: Spot,
  isolationModel: IsolationModel,
): Promise<boolean> {
  if (here.isolationModel === isolationModel) return true;
  const cell = await readCell(transaction, tenant, here.cellId as string);
  if (!cell) return false;
  return isolationModel === 'shared' ? cell.status !== 'draining' : hasRoom(cell, isolationModel);
}

function hasRoom(cell: CellRow, isolationModel: IsolationModel): boolean {
  if (cell.status !== 'active') return false;
  return isolationModel === 'shared' || cell.business_tenants < cell.max_business_tenants;
}

/** The cell, locked, with the schemas that others have in it or are on their way to. */
async function readCell(
  transaction: RegistryExecutor,
  { tenantId }: MovingTenant,
  cellId: string,
): Promise<CellRow | undefined> {
  const parameters = { cellId, tenantId };
  // Counting is a statement of its own: one that waits for a lock keeps its older snapshot.
  await transaction.query('SELECT cell_id FROM cells WHERE cell_id = :cellId FOR UPDATE', { cellId });
  const [cell] = await transaction.query<CellRow>(
    `SELECT c.region, c.data_residency, c.status, c.max_business_tenants,
            (SELECT count(*)::int FROM tenants t
             LEFT JOIN tenant_database_routing r ON r.tenant_id = t.tenant_id
             LEFT JOIN tenant_moves m ON m.tenant_id = t.tenant_id AND m.status = 'running'
             WHERE t.tenant_id <> :tenantId::uuid AND t.status <> 'offboarded'
               AND ((r.cell_id = c.cell_id AND r.isolation_model = 'schema')
                    OR m.plan -> -1 -> 'to' @> jsonb_build_object('cellId', c.cell_id, 'isolationModel', 'schema'))
            ) AS business_tenants
     FROM cells c WHERE c.cell_id = :cellId`,
    parameters,
  );
  return cell;
}

async function isServedHere(transaction: RegistryExecutor, dataResidency: string): Promise<boolean> {
  const served = await transaction.query(
    'SELECT 1 AS served FROM cells WHERE data_residency = :dataResidency LIMIT 1',
    { dataResidency },
  );
  return served.length > 0;
}

const noResidency = () =>
  new InvalidMoveInput([{ path: 'targetResidency', message: 'is not a region that is served' }]);
