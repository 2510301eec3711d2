import type { IsolationModel } from '../contracts/tenant.ts';
import { endsInSchemaOf } from '../registry/cells.ts';
import type { RegistryExecutor } from '../registry/data-api.ts';
import { registrySql } from '../registry/registry-sql.ts';

/** A cell as far as it has room for a tenant. */
export type CellRoom = NonNullable<Awaited<ReturnType<typeof readCellRoom>>>;

/**
 * The cell, locked until the transaction ends, with the schemas that others than the tenant have in it or are on their
 * way to: by a move of this registry since it was planned, from another region since they were announced.
 */
export async function readCellRoom(transaction: RegistryExecutor, cellId: string, tenantId: string) {
  const db = registrySql(transaction);
  // Counting is a statement of its own: one that waits for a lock keeps its older snapshot.
  await db.selectFrom('cells').select('cell_id').where('cell_id', '=', cellId).forUpdate().execute();
  return db
    .selectFrom('cells as c')
    .select(['c.region', 'c.data_residency', 'c.status', 'c.max_business_tenants'])
    .select((eb) =>
      eb
        .selectFrom('tenants as t')
        .leftJoin('tenant_database_routing as r', 'r.tenant_id', 't.tenant_id')
        .leftJoin('tenant_moves as m', (join) =>
          join.onRef('m.tenant_id', '=', 't.tenant_id').on('m.status', '=', 'running'),
        )
        .select((each) => each.fn.countAll<number>().as('tenants'))
        .where('t.tenant_id', '<>', tenantId)
        .where('t.status', '<>', 'offboarded')
        .where((each) =>
          each.or([
            each.and([
              each('r.cell_id', '=', each.ref('c.cell_id')),
              each('r.isolation_model', '=', 'schema'),
            ]),
            endsInSchemaOf(each.ref('m.plan').$notNull(), each.ref('c.cell_id')),
          ]),
        )
        .$asScalar()
        .$notNull()
        .as('business_tenants'),
    )
    .where('c.cell_id', '=', cellId)
    .executeTakeFirst();
}

export function hasRoom(cell: CellRoom, isolationModel: IsolationModel): boolean {
  if (cell.status !== 'active') return false;
  return isolationModel === 'shared' || cell.business_tenants < cell.max_business_tenants;
}
