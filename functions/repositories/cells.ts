import type { RegistryExecutor } from '../registry/data-api.ts';
import { askRegions, type Regions } from './ask-region.ts';

/** A cell as an operator sees it. */
export interface CellView {
  readonly cellId: string;
  readonly region: string;
  readonly dataResidency: string;
  /** Only an `active` one takes further tenants. */
  readonly status: 'active' | 'full' | 'draining';
  /** Tenants with rows in its shared tables. */
  readonly sharedTenants: number;
  /** Tenants with a schema, also those on their way to one: each takes one of the proxy's secrets. */
  readonly schemaTenants: number;
  readonly maxSchemaTenants: number;
}

interface Row {
  readonly cell_id: string;
  readonly region: string;
  readonly data_residency: string;
  readonly status: CellView['status'];
  readonly shared_tenants: number;
  readonly schema_tenants: number;
  readonly max_business_tenants: number;
}

/** The cells of all regions with what is in them: home's first, each region's by id. @throws {RegionUnavailable} */
export async function listCells(registries: Regions): Promise<CellView[]> {
  const lists = await askRegions(registries, registries.keys, readCells);
  return lists.flat();
}

async function readCells(registry: RegistryExecutor): Promise<CellView[]> {
  const rows = await registry.query<Row>(
    `SELECT c.cell_id, c.region, c.data_residency, c.status, c.max_business_tenants,
            (count(t.tenant_id) FILTER (WHERE r.isolation_model = 'shared'))::int AS shared_tenants,
            ((count(t.tenant_id) FILTER (WHERE r.isolation_model = 'schema'))
             + (SELECT count(*) FROM tenant_moves m
                JOIN tenant_database_routing mr ON mr.tenant_id = m.tenant_id
                WHERE m.status = 'running'
                  AND m.plan -> -1 -> 'to' @> jsonb_build_object('cellId', c.cell_id, 'isolationModel', 'schema')
                  AND (mr.cell_id IS DISTINCT FROM c.cell_id OR mr.isolation_model <> 'schema'))
            )::int AS schema_tenants
     FROM cells c
     LEFT JOIN tenant_database_routing r ON r.cell_id = c.cell_id
     LEFT JOIN tenants t ON t.tenant_id = r.tenant_id AND t.status NOT IN ('offboarded', 'elsewhere')
     GROUP BY c.cell_id
     ORDER BY c.cell_id`,
  );
  return rows.map((row) => ({
    cellId: row.cell_id,
    region: row.region,
    dataResidency: row.data_residency,
    status: row.status,
    sharedTenants: row.shared_tenants,
    schemaTenants: row.schema_tenants,
    maxSchemaTenants: row.max_business_tenants,
  }));
}
