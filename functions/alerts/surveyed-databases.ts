import { sql } from 'kysely';
import { IN_USE } from '../contracts/tenant.ts';
import type { OwnedDatabase } from '../database/session/owner-connection.ts';
import { ownerSecretOf } from '../placement/tenant-names.ts';
import type { RegistryExecutor } from '../registry/data-api.ts';
import { asText } from '../registry/registry-expressions.ts';
import { registrySql } from '../registry/registry-sql.ts';

/** A data database of the region: a cell's, or an Enterprise tenant's own. */
export interface SurveyedDatabase extends OwnedDatabase {
  /** The cell's id, or the id of the tenant that owns the database. */
  readonly key: string;
  /** null for a tenant's own database. */
  readonly cellId: string | null;
}

/**
 * The next databases of the region, by key. @param after the last one that was handled.
 * @throws {RegistryError}
 */
export async function listSurveyedDatabases(
  registry: RegistryExecutor,
  region: string,
  { after, limit }: { readonly after: string | undefined; readonly limit: number },
): Promise<SurveyedDatabase[]> {
  const rows = await registrySql(registry)
    .selectFrom((databases) =>
      databases
        .selectFrom('cells as c')
        .select((eb) => [sql<string>`${eb.ref('c.cell_id')} collate "C"`.as('key')])
        .select(['c.writer_host as host', 'c.database_port as port', 'c.database_name as database'])
        .select((eb) => [
          eb.ref('c.owner_secret_arn').$castTo<string | null>().as('owner_secret'),
          eb.ref('c.cell_id').$castTo<string | null>().as('cell_id'),
        ])
        .where('c.region', '=', region)
        .unionAll(
          databases
            .selectFrom('tenant_database_routing as r')
            .innerJoin('tenants as t', 't.tenant_id', 'r.tenant_id')
            .select((eb) => [asText(eb.ref('r.tenant_id')).as('key')])
            .select((eb) => [eb.ref('r.writer_host').$notNull().as('host')])
            .select(['r.database_port as port', 'r.database_name as database'])
            .select(['r.owner_secret_arn as owner_secret', sql<string | null>`null`.as('cell_id')])
            .where('r.region', '=', region)
            .where('r.cell_id', 'is', null)
            .where('t.status', 'in', IN_USE),
        )
        .as('d'),
    )
    .select(['d.key', 'd.host', 'd.port', 'd.database', 'd.owner_secret', 'd.cell_id'])
    .$if(after !== undefined, (databases) =>
      databases.where((eb) => eb('d.key', '>', sql<string>`${after} collate "C"`)),
    )
    .orderBy('d.key')
    .limit(limit)
    .execute();
  return rows.map((row) => ({
    key: row.key,
    cellId: row.cell_id,
    writerHost: row.host,
    port: row.port,
    database: row.database,
    ownerSecret: ownerSecretOf(row.owner_secret, row.key),
  }));
}

/** The next tenants of the database, by id. @throws {RegistryError} */
export async function listSurveyedTenants(
  registry: RegistryExecutor,
  key: string,
  { after, limit }: { readonly after: string | undefined; readonly limit: number },
): Promise<string[]> {
  const rows = await registrySql(registry)
    .selectFrom('tenants as t')
    .innerJoin('tenant_database_routing as r', 'r.tenant_id', 't.tenant_id')
    .select('t.tenant_id')
    .where((eb) => eb(eb.fn.coalesce('r.cell_id', asText(eb.ref('r.tenant_id'))), '=', key))
    .where('t.status', 'in', IN_USE)
    .$if(after !== undefined, (tenants) => tenants.where('t.tenant_id', '>', after as string))
    .orderBy('t.tenant_id')
    .limit(limit)
    .execute();
  return rows.map(({ tenant_id }) => tenant_id);
}
