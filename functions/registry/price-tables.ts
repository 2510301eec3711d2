import type { CostBasis } from '../contracts/price-table.ts';
import type { RegistryExecutor } from './data-api.ts';
import { NoPrices } from './errors.ts';
import { parseJson } from './registry-column.ts';
import { asText } from './registry-expressions.ts';
import { registrySql } from './registry-sql.ts';

/**
 * Writes what the region's bill is computed from. Call as the registry's owner, on every deployment: it replaces the
 * document of the same day. Documents of earlier price lists stay, for the record.
 * @throws {RegistryError}
 */
export async function writeCostBasis(registry: RegistryExecutor, basis: CostBasis): Promise<void> {
  await registry.query(
    `INSERT INTO price_tables (as_of, document) VALUES (cast(:asOf AS date), cast(:document AS jsonb))
     ON CONFLICT (as_of) DO UPDATE SET document = excluded.document, deployed_at = now()`,
    { asOf: basis.asOf, document: JSON.stringify(basis) },
  );
}

/** What the last deployment has written. @throws {NoPrices | RegistryError} */
export async function readCostBasis(registry: RegistryExecutor): Promise<CostBasis> {
  const row = await registrySql(registry)
    .selectFrom('price_tables')
    .select((eb) => asText(eb.ref('document')).as('document'))
    .orderBy('deployed_at', 'desc')
    .limit(1)
    .executeTakeFirst();
  if (!row) throw new NoPrices();
  return parseJson(row.document) as unknown as CostBasis;
}
