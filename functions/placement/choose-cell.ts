import type { RegistryExecutor } from '../registry/data-api.ts';
import type { Tier } from '../registry/tenant-record.ts';
import { NoCellCapacity } from './errors.ts';

/** A cell as a placement needs it. */
export interface Cell {
  cell_id: string;
  region: string;
  database_host: string;
  database_port: number;
  database_name: string;
  writer_host: string;
  cluster_arn: string;
  starter_role_name: string;
  starter_secret_arn: string;
  max_business_tenants: number;
  tenants: number;
  business_tenants: number;
}

/** For whom a cell is picked. */
export interface CellWish {
  readonly tier: Tier;
  readonly dataResidency: string;
  /** The tenant takes the place of a schema, also if that is not what its tier has. */
  readonly needsSchema?: boolean;
  /** By cell, schemas of tenants that this registry does not know of yet. */
  readonly promised?: ReadonlyMap<string, number> | undefined;
}

/**
 * Picks the active cell of the residency with the fewest tenants. The cells stay locked until the transaction ends,
 * so that onboardings running at once count each other and cannot exceed a cell's cap together.
 * A failed tenant counts: it holds its place until it is resumed or offboarded. So does one that is on its way there
 * by a move, also from another region (`arriving`); one that has just arrived counts twice until its move has ended.
 * @throws {NoCellCapacity} when no active cell has room for the tier.
 */
export async function chooseCell(
  transaction: RegistryExecutor,
  { tier, dataResidency, needsSchema = tier === 'business', promised }: CellWish,
): Promise<Cell> {
  const parameters = { dataResidency };
  // The order avoids deadlock. Counting is a statement of its own: one that waits for a lock keeps its older snapshot.
  await transaction.query(
    `SELECT cell_id FROM cells WHERE data_residency = :dataResidency AND status = 'active'
     ORDER BY cell_id FOR UPDATE`,
    parameters,
  );
  const cells = await transaction.query<Cell>(
    `SELECT c.cell_id, c.region, c.database_host, c.database_port, c.database_name, c.writer_host, c.cluster_arn,
            c.starter_role_name, c.starter_secret_arn, c.max_business_tenants,
            count(t.tenant_id)::int AS tenants,
            ((count(t.tenant_id) FILTER (WHERE r.isolation_model = 'schema'))
             + (SELECT count(*) FROM tenant_moves m WHERE m.status = 'running'
                AND m.plan -> -1 -> 'to' @> jsonb_build_object('cellId', c.cell_id, 'isolationModel', 'schema'))
            )::int AS business_tenants
     FROM cells c
     LEFT JOIN tenant_database_routing r ON r.cell_id = c.cell_id
     LEFT JOIN tenants t ON t.tenant_id = r.tenant_id AND t.status NOT IN ('offboarded', 'elsewhere')
     WHERE c.data_residency = :dataResidency AND c.status = 'active'
     GROUP BY c.cell_id
     ORDER BY tenants, c.cell_id`,
    parameters,
  );
  const cell = cells.find(
    ({ cell_id: cellId, business_tenants: schemas, max_business_tenants: most }) =>
      !needsSchema || schemas + (promised?.get(cellId) ?? 0) < most,
  );
  if (!cell) throw new NoCellCapacity(tier, dataResidency, { needsSchema });
  return cell;
}
