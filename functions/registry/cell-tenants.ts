import type { RegistryExecutor } from './data-api.ts';
import { registrySql } from './registry-sql.ts';

/** A tenant with a schema in the cell, with its latest sample. */
export interface SchemaTenant {
  readonly tenantId: string;
  readonly slug: string;
  readonly storageBytes: number | null;
  readonly rowOperations: number | null;
}

/** The cell's active tenants with a schema that no move works on, by slug. @throws {RegistryError} */
export async function listCellTenants(registry: RegistryExecutor, cellId: string): Promise<SchemaTenant[]> {
  const rows = await registrySql(registry)
    .selectFrom('tenants as t')
    .innerJoin('tenant_database_routing as r', 'r.tenant_id', 't.tenant_id')
    .leftJoinLateral(
      (eb) =>
        eb
          .selectFrom('usage_samples as s')
          .select(['s.storage_bytes', 's.row_operations'])
          .whereRef('s.tenant_id', '=', 't.tenant_id')
          .orderBy('s.sampled_on', 'desc')
          .limit(1)
          .as('sample'),
      (join) => join.onTrue(),
    )
    .select(['t.tenant_id', 't.tenant_slug', 'sample.storage_bytes', 'sample.row_operations'])
    .where('r.cell_id', '=', cellId)
    .where('r.isolation_model', '=', 'schema')
    .where('t.status', '=', 'active')
    .where((eb) =>
      eb.not(
        eb.exists(
          eb
            .selectFrom('tenant_moves as m')
            .select('m.move_id')
            .whereRef('m.tenant_id', '=', 't.tenant_id')
            .where('m.status', '=', 'running'),
        ),
      ),
    )
    .orderBy('t.tenant_slug')
    .execute();
  return rows.map((row) => ({
    tenantId: row.tenant_id,
    slug: row.tenant_slug,
    storageBytes: row.storage_bytes,
    rowOperations: row.row_operations,
  }));
}
