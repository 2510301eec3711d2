import type { RegistryExecutor } from '../registry/data-api.ts';
import type { IsolationModel } from '../registry/tenant-record.ts';

/** A cell as far as it has room for a tenant. */
export interface CellRoom {
  readonly region: string;
  readonly data_residency: string;
  readonly status: string;
  readonly max_business_tenants: number;
  readonly business_tenants: number;
}

/**
 * The cell, locked until the transaction ends, with the schemas that others than the tenant have in it or are on their
 * way to: by a move of this registry since it was planned, from another region since they were announced.
 */
export async function readCellRoom(
  transaction: RegistryExecutor,
  cellId: string,
  tenantId: string,
): Promise<CellRoom | undefined> {
  // Counting is a statement of its own: one that waits for a lock keeps its older snapshot.
  await transaction.query('SELECT cell_id FROM cells WHERE cell_id = :cellId FOR UPDATE', { cellId });
  const [cell] = await transaction.query<CellRoom>(
    `SELECT c.region, c.data_residency, c.status, c.max_business_tenants,
            (SELECT count(*)::int FROM tenants t
             LEFT JOIN tenant_database_routing r ON r.tenant_id = t.tenant_id
             LEFT JOIN tenant_moves m ON m.tenant_id = t.tenant_id AND m.status = 'running'
             WHERE t.tenant_id <> :tenantId::uuid AND t.status <> 'offboarded'
               AND ((r.cell_id = c.cell_id AND r.isolation_model = 'schema')
                    OR m.plan -> -1 -> 'to' @> jsonb_build_object('cellId', c.cell_id, 'isolationModel', 'schema'))
            ) AS business_tenants
     FROM cells c WHERE c.cell_id = :cellId`,
    { cellId, tenantId },
  );
  return cell;
}

export function hasRoom(cell: CellRoom, isolationModel: IsolationModel): boolean {
  if (cell.status !== 'active') return false;
  return isolationModel === 'shared' || cell.business_tenants < cell.max_business_tenants;
}
