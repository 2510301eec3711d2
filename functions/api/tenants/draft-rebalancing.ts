import { estimateMove, type MoveEstimate } from '../../moves/dry-run.ts';
import { planMove } from '../../moves/plan.ts';
import {
  type ProposedMove,
  planRebalancing,
  type RebalancingPlan,
} from '../../placement/rebalancing-plan.ts';
import { listCellTenants } from '../../registry/cell-tenants.ts';
import type { CellView } from '../../registry/cells.ts';
import type { RegistryExecutor } from '../../registry/data-api.ts';

/** A plan whose moves have an estimate; null without a sample of the tenant's size. */
export interface RebalancingDraft extends Omit<RebalancingPlan, 'moves'> {
  readonly moves: readonly (ProposedMove & { readonly estimate: MoveEstimate | null })[];
}

/** @param cells all cells of the cell's region. @throws {RegistryError} */
export async function draftRebalancing(
  registry: RegistryExecutor,
  cell: CellView,
  cells: readonly CellView[],
): Promise<RebalancingDraft> {
  const plan = planRebalancing(cell, await listCellTenants(registry, cell.cellId), cells);
  const schemaIn = (cellId: string) => ({ isolationModel: 'schema', cellId, region: cell.region }) as const;
  return {
    ...plan,
    moves: plan.moves.map((move) => {
      const hops = planMove(schemaIn(cell.cellId), schemaIn(move.targetCell));
      const { storageBytes: bytes } = move;
      // Rows are not sampled; of a relocate, bytes decide.
      return { ...move, estimate: bytes === null ? null : estimateMove(hops, { rows: 0, bytes }) };
    }),
  };
}
