import { endsInSchemaOf } from '../registry/cells.ts';
import type { RegistryExecutor } from '../registry/data-api.ts';
import { registrySql } from '../registry/registry-sql.ts';
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

/** The cells of all regions with what is in them: home's first, each region's by id. @throws {RegionUnavailable} */
export async function listCells(registries: Regions): Promise<CellView[]> {
  const lists = await askRegions(registries, registries.keys, readCells);
  return lists.flat();
}

async function readCells(registry: RegistryExecutor): Promise<CellView[]> {
  const rows = await registrySql(registry)
    .selectFrom('cells as c')
    .leftJoin('tenant_database_routing as r', 'r.cell_id', 'c.cell_id')
    .leftJoin('tenants as t', (join) =>
      join.onRef('t.tenant_id', '=', 'r.tenant_id').on('t.status', 'not in', ['offboarded', 'elsewhere']),
    )
    .select(['c.cell_id', 'c.region', 'c.data_residency', 'c.status', 'c.max_business_tenants'])
    .select((eb) => [
      eb.fn.count<number>('t.tenant_id').filterWhere('r.isolation_model', '=', 'shared').as('shared_tenants'),
      eb(
        eb.fn.count<number>('t.tenant_id').filterWhere('r.isolation_model', '=', 'schema'),
        '+',
        eb
          .selectFrom('tenant_moves as m')
          .innerJoin('tenant_database_routing as mr', 'mr.tenant_id', 'm.tenant_id')
          .select((each) => each.fn.countAll<number>().as('moves'))
          .where('m.status', '=', 'running')
          .where((each) => endsInSchemaOf(each.ref('m.plan'), each.ref('c.cell_id')))
          .where((each) =>
            each.or([
              each('mr.cell_id', 'is distinct from', each.ref('c.cell_id')),
              each('mr.isolation_model', '<>', 'schema'),
            ]),
          )
          .$asScalar()
          .$notNull(),
      ).as('schema_tenants'),
    ])
    .groupBy('c.cell_id')
    .orderBy('c.cell_id')
    .execute();
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
