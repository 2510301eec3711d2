import type { Tier } from '../contracts/tenant.ts';
import { endsInSchemaOf } from '../registry/cells.ts';
import type { RegistryExecutor } from '../registry/data-api.ts';
import { registrySql } from '../registry/registry-sql.ts';
import { NoCellCapacity } from './errors.ts';

/** A cell as a placement needs it. */
export type Cell = Awaited<ReturnType<typeof readCells>>[number];

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
  const cells = await readCells(transaction, dataResidency);
  const cell = cells.find(
    ({ cell_id: cellId, business_tenants: schemas, max_business_tenants: most }) =>
      !needsSchema || schemas + (promised?.get(cellId) ?? 0) < most,
  );
  if (!cell) throw new NoCellCapacity(tier, dataResidency, { needsSchema });
  return cell;
}

/** The active cells of the residency, locked, those with the fewest tenants first. */
async function readCells(transaction: RegistryExecutor, dataResidency: string) {
  const db = registrySql(transaction);
  // The order avoids deadlock. Counting is a statement of its own: one that waits for a lock keeps its older snapshot.
  await db
    .selectFrom('cells')
    .select('cell_id')
    .where('data_residency', '=', dataResidency)
    .where('status', '=', 'active')
    .orderBy('cell_id')
    .forUpdate()
    .execute();
  return db
    .selectFrom('cells as c')
    .leftJoin('tenant_database_routing as r', 'r.cell_id', 'c.cell_id')
    .leftJoin('tenants as t', (join) =>
      join.onRef('t.tenant_id', '=', 'r.tenant_id').on('t.status', 'not in', ['offboarded', 'elsewhere']),
    )
    .select(['c.cell_id', 'c.region', 'c.database_host', 'c.database_port', 'c.database_name'])
    .select(['c.writer_host', 'c.cluster_arn', 'c.starter_role_name', 'c.starter_secret_arn'])
    .select(['c.max_business_tenants'])
    .select((eb) => [
      eb.fn.count<number>('t.tenant_id').as('tenants'),
      eb(
        eb.fn.count<number>('t.tenant_id').filterWhere('r.isolation_model', '=', 'schema'),
        '+',
        eb
          .selectFrom('tenant_moves as m')
          .select((each) => each.fn.countAll<number>().as('moves'))
          .where('m.status', '=', 'running')
          .where((each) => endsInSchemaOf(each.ref('m.plan'), each.ref('c.cell_id')))
          .$asScalar()
          .$notNull(),
      ).as('business_tenants'),
    ])
    .where('c.data_residency', '=', dataResidency)
    .where('c.status', '=', 'active')
    .groupBy('c.cell_id')
    .orderBy('tenants')
    .orderBy('c.cell_id')
    .execute();
}
