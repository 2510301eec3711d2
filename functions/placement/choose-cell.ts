import type { IsolationModel, Tier } from '../contracts/tenant.ts';
import { endsInSchemaOf } from '../registry/cells.ts';
import type { RegistryExecutor } from '../registry/data-api.ts';
import { registrySql } from '../registry/registry-sql.ts';
import { NoCellCapacity } from './errors.ts';

/** The columns of a cell that a placement needs. */
export type Cell = Awaited<ReturnType<typeof readCells>>[number];

/** The tenant for which a cell is chosen. */
export interface CellWish {
  readonly tier: Tier;
  readonly dataResidency: string;
  /** The tenant needs one of the cell's schemas, even if its tier has another isolation model. */
  readonly needsSchema?: boolean;
  /** By cell: the number of schemas that are promised to tenants which this registry does not have yet. */
  readonly promised?: ReadonlyMap<string, number> | undefined;
}

/**
 * Chooses the active cell of the residency with the fewest tenants. The cells stay locked until the transaction ends,
 * so that concurrent onboardings count each other and cannot exceed a cell's limit together. A failed tenant counts,
 * because it keeps its place until it is resumed or offboarded. A tenant that a move brings to the cell counts too,
 * also from another region (`arriving`); after the commit it counts twice until its move has ended.
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
  // The order avoids deadlocks. Count in a separate statement: a statement that waits for a lock keeps its older
  // snapshot.
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
    .select(['c.writer_host', 'c.reader_host', 'c.cluster_arn', 'c.starter_role_name'])
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

/** A cell and the number of its schemas. */
export type CellRoom = NonNullable<Awaited<ReturnType<typeof readCellRoom>>>;

/**
 * Locks the cell until the transaction ends and counts the schemas of other tenants in it. Schemas of running moves
 * count too: those of this region since the move was planned, those from another region since they were announced.
 */
export async function readCellRoom(transaction: RegistryExecutor, cellId: string, tenantId: string) {
  const db = registrySql(transaction);
  // Count in a separate statement: a statement that waits for a lock keeps its older snapshot.
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
