/**
 * Which tenants should leave a cell that is over its limits, and where to. A proposal: each entry has the body of a dry run,
 * and nothing moves before an operator sends it without `dryRun`.
 *
 * - Too many schemas, or secrets: the smallest Business tenants go, because each frees one of them and a small one moves
 *   in seconds.
 * - Too many bytes: the largest Business tenants go, until enough bytes would be free.
 * - Too many connections or replication slots: what a tenant takes of them is not measured per tenant, so a tenth of the
 *   Business tenants is proposed, the busiest first by rows written, then the largest.
 *
 * Starter tenants stay: they share one role and its connections, a move of one frees next to nothing, and shared tables
 * have no limit of their own.
 */
import type { SchemaTenant } from '../registry/cell-tenants.ts';
import type { CellView } from '../registry/cells.ts';
import { CELL_LIMITS, type CellResource, type CellUse, exceededLimits, usesOf } from './cell-limits.ts';

/** A plan of more moves than that is for the next call: moves change the figures. */
const MOST_MOVES = 50;
const SHARE_OF_TENANTS = 0.1;

export interface ProposedMove {
  readonly tenantId: string;
  readonly slug: string;
  /** Why this tenant, in words. */
  readonly reason: string;
  readonly storageBytes: number | null;
  readonly targetCell: string;
  /** True when that cell does not exist yet: add it to the configuration and deploy it first. */
  readonly newCell: boolean;
  /** The body of `POST /tenants/{tenantId}/moves`. */
  readonly request: { readonly targetCell: string; readonly dryRun: true };
}

export interface RebalancingPlan {
  readonly cellId: string;
  /** Limits that the cell is over; none: nothing has to move. */
  readonly exceeded: readonly CellUse[];
  readonly moves: readonly ProposedMove[];
  /** Cells to add, when the others have too little room. */
  readonly newCells: readonly string[];
}

/**
 * @param tenants the cell's Business tenants that no move works on.
 * @param cells all cells of its region, this one among them.
 */
export function planRebalancing(
  cell: CellView,
  tenants: readonly SchemaTenant[],
  cells: readonly CellView[],
): RebalancingPlan {
  const exceeded = exceededLimits(cell);
  const room = new TargetRoom(cell, cells);
  const moves = chooseTenants(exceeded, tenants).map(({ tenant, reason }): ProposedMove => {
    const { targetCell, newCell } = room.take();
    const { tenantId, slug, storageBytes } = tenant;
    const request = { targetCell, dryRun: true } as const;
    return { tenantId, slug, reason, storageBytes, targetCell, newCell, request };
  });
  return { cellId: cell.cellId, exceeded, moves, newCells: room.newCells };
}

interface Choice {
  readonly tenant: SchemaTenant;
  readonly reason: string;
}

function chooseTenants(exceeded: readonly CellUse[], tenants: readonly SchemaTenant[]): Choice[] {
  const chosen = new Map<string, Choice>();
  for (const use of exceeded) {
    const already = [...chosen.values()].map(({ tenant }) => tenant);
    const others = tenants.filter(({ tenantId }) => !chosen.has(tenantId));
    for (const choice of choicesFor(use, others, already, tenants.length)) {
      chosen.set(choice.tenant.tenantId, choice);
    }
  }
  return [...chosen.values()].slice(0, MOST_MOVES);
}

/** @param already tenants that go for the sake of another limit. */
function choicesFor(
  { resource, used, max }: CellUse,
  tenants: readonly SchemaTenant[],
  already: readonly SchemaTenant[],
  all: number,
): Choice[] {
  const excess = used - Math.floor(max * CELL_LIMITS[resource].target);
  const bytesOf = ({ storageBytes }: SchemaTenant) => storageBytes ?? 0;
  const bySize = [...tenants].sort(
    (one, other) => bytesOf(one) - bytesOf(other) || (one.slug < other.slug ? -1 : 1),
  );
  const reason = REASONS[resource];
  if (resource === 'schemas' || resource === 'proxySecrets') {
    return bySize.slice(0, Math.max(0, excess - already.length)).map((tenant) => ({ tenant, reason }));
  }
  const largest = bySize.reverse();
  if (resource === 'databaseBytes') {
    let free = already.reduce((sum, tenant) => sum + bytesOf(tenant), 0);
    return largest.flatMap((tenant) => {
      if (free >= excess || bytesOf(tenant) === 0) return [];
      free += bytesOf(tenant);
      return [{ tenant, reason }];
    });
  }
  const writesOf = ({ rowOperations }: SchemaTenant) => rowOperations ?? 0;
  const busiest = largest.sort((one, other) => writesOf(other) - writesOf(one));
  const share = Math.max(1, Math.ceil(all * SHARE_OF_TENANTS)) - already.length;
  return busiest.slice(0, Math.max(0, share)).map((tenant) => ({ tenant, reason }));
}

const REASONS: Readonly<Record<CellResource, string>> = {
  schemas: 'frees one schema of the cell, and is among its smallest tenants',
  proxySecrets: 'frees one secret of the cell’s proxy, and is among its smallest tenants',
  databaseBytes: 'is among the cell’s largest tenants',
  connections: 'is among the cell’s busiest tenants',
  replicationSlots: 'is among the cell’s busiest tenants',
};

/** Cells that take the tenants: those with room in the order of their fill, then new ones. */
class TargetRoom {
  readonly newCells: string[] = [];
  readonly #region: string;
  readonly #newCellSize: number;
  readonly #names: Set<string>;
  readonly #targets: { readonly cellId: string; readonly max: number; free: number }[];
  #freeInNewCell = 0;

  constructor(cell: CellView, cells: readonly CellView[]) {
    this.#region = cell.region;
    this.#names = new Set(cells.map(({ cellId }) => cellId));
    this.#newCellSize = Math.max(1, Math.floor(cell.maxSchemaTenants * CELL_LIMITS.schemas.target));
    this.#targets = cells
      .filter(
        (other) =>
          other.cellId !== cell.cellId &&
          other.status === 'active' &&
          other.dataResidency === cell.dataResidency &&
          usesOf(other).every(({ resource, share }) => share < CELL_LIMITS[resource].target),
      )
      .map(({ cellId, schemaTenants, maxSchemaTenants: max }) => ({
        cellId,
        max,
        free: Math.floor(max * CELL_LIMITS.schemas.target) - schemaTenants,
      }));
  }

  /** Room for one tenant. */
  take(): { targetCell: string; newCell: boolean } {
    const [best] = this.#targets
      .filter(({ free }) => free > 0)
      .sort((one, other) => other.free / other.max - one.free / one.max);
    if (best) {
      best.free -= 1;
      return { targetCell: best.cellId, newCell: false };
    }
    if (this.#freeInNewCell === 0) {
      this.newCells.push(this.#newName());
      this.#freeInNewCell = this.#newCellSize;
    }
    this.#freeInNewCell -= 1;
    return { targetCell: this.newCells.at(-1) as string, newCell: true };
  }

  /** `us-2` is the first name after `us-1` that no cell has. */
  #newName(): string {
    let number = 1;
    while (this.#names.has(`${this.#region}-${number}`)) number += 1;
    const name = `${this.#region}-${number}`;
    this.#names.add(name);
    return name;
  }
}
