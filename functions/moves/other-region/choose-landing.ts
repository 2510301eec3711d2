import { sql } from 'kysely';
import type { Tier } from '../../contracts/tenant.ts';
import { tierTerms } from '../../contracts/tier-terms.ts';
import { type Cell, chooseCell } from '../../placement/choose-cell.ts';
import type { DataApi, RegistryExecutor } from '../../registry/data-api.ts';
import { asText, columnValue } from '../../registry/registry-expressions.ts';
import { registrySql } from '../../registry/registry-sql.ts';
import { lockByName } from '../../registry/transaction-limits.ts';

/**
 * Picks the cell of another region in which a tenant lands. Only whole schemas cross a border: whatever the tenant has
 * bought, unless it is a database of its own, it takes the place of a schema there, until a move of that region
 * brings it where it belongs.
 *
 * That region's registry is told of the tenant when the hop over the border opens, which may be hours later. Until then
 * this registry counts for itself whom it has promised a place. The moves of a third region, and who is onboarded
 * meanwhile, it does not know: the announcement decides.
 * @param own of the region that the tenant leaves; the move has to be recorded in this transaction.
 * @throws {NoCellCapacity} no active cell there has room.
 */
export async function chooseLanding(
  own: RegistryExecutor,
  there: Pick<DataApi, 'transaction'>,
  { tier, dataResidency }: { readonly tier: Tier; readonly dataResidency: string },
): Promise<Cell> {
  const needsSchema = tierTerms[tier].isolationModel !== 'dedicated';
  const promised = needsSchema ? await promisedSchemas(own, dataResidency) : undefined;
  return there.transaction((transaction) =>
    chooseCell(transaction, { tier, dataResidency, needsSchema, promised }),
  );
}

/** By cell, the tenants whose moves will take them there and are not announced there yet. */
async function promisedSchemas(own: RegistryExecutor, region: string): Promise<Map<string, number>> {
  const db = registrySql(own);
  // Plans that are made at once count each other. Counting is a statement of its own, with a snapshot after the lock's.
  await lockByName(own, `strata moves to ${region}`);
  const rows = await db
    .selectFrom('tenant_moves as m')
    .select((eb) => [
      sql<string>`m.plan -> -1 -> 'to' ->> 'cellId'`.as('cell_id'),
      eb.fn.countAll<number>().as('schemas'),
    ])
    .where('m.status', '=', 'running')
    .where(
      sql<boolean>`m.plan -> -1 -> 'to'
        @> jsonb_build_object('region', ${asText(columnValue('cells.region', region))}, 'isolationModel', 'schema')`,
    )
    .where((eb) =>
      eb.not(
        eb.exists(
          eb
            .selectFrom('tenant_move_hops as h')
            .select('h.hop_index')
            .whereRef('h.move_id', '=', 'm.move_id')
            .where('h.hop_index', '=', sql<number>`jsonb_array_length(m.plan) - 1`),
        ),
      ),
    )
    .groupBy('cell_id')
    .execute();
  return new Map(rows.map(({ cell_id: cellId, schemas }) => [cellId, schemas]));
}
