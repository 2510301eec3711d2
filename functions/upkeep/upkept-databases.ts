import { sql } from 'kysely';
import { IN_USE, type Tier } from '../contracts/tenant.ts';
import type { OwnedDatabase } from '../database/session/owner-connection.ts';
import { ownerSecretOf } from '../placement/tenant-names.ts';
import type { RegistryExecutor } from '../registry/data-api.ts';
import { asText } from '../registry/registry-expressions.ts';
import { registrySql } from '../registry/registry-sql.ts';

/** A data database of the region: a cell's, or an Enterprise tenant's own. */
export interface UpkeptDatabase extends OwnedDatabase {
  /** The cell's id, or the id of the tenant that owns the database. */
  readonly key: string;
  /** True for a cell, which has shared tables. */
  readonly shared: boolean;
}

/** Keys of the region's databases, cells first. @throws {RegistryError} */
export async function listDatabases(registry: RegistryExecutor, region: string): Promise<string[]> {
  const rows = await registrySql(registry)
    .selectFrom((databases) =>
      databases
        .selectFrom('cells as c')
        .select(['c.cell_id as key', sql<number>`1`.as('kind')])
        .where('c.region', '=', region)
        .unionAll(
          databases
            .selectFrom('tenant_database_routing as r')
            .innerJoin('tenants as t', 't.tenant_id', 'r.tenant_id')
            .select((eb) => [asText(eb.ref('r.tenant_id')).as('key'), sql<number>`2`.as('kind')])
            .where('r.region', '=', region)
            .where('r.cell_id', 'is', null)
            .where('t.status', 'in', IN_USE),
        )
        .as('databases'),
    )
    .select('databases.key')
    .orderBy('databases.kind')
    .orderBy('databases.key')
    .execute();
  return rows.map(({ key }) => key);
}

/** undefined when the registry no longer has such a database. @throws {RegistryError} */
export async function findDatabase(
  registry: RegistryExecutor,
  region: string,
  key: string,
): Promise<UpkeptDatabase | undefined> {
  const db = registrySql(registry);
  const row = await db
    .selectFrom('cells as c')
    .select(['c.writer_host as host', 'c.database_port as port', 'c.database_name'])
    .select((eb) => eb.ref('c.owner_secret_arn').$castTo<string | null>().as('owner_secret_arn'))
    .select(sql<boolean>`true`.as('shared'))
    .where('c.region', '=', region)
    .where('c.cell_id', '=', key)
    .unionAll(
      db
        .selectFrom('tenant_database_routing as r')
        .select((eb) => [eb.ref('r.writer_host').$notNull().as('host'), 'r.database_port as port'])
        .select(['r.database_name', 'r.owner_secret_arn', sql<boolean>`false`.as('shared')])
        .where('r.region', '=', region)
        .where('r.cell_id', 'is', null)
        .where((eb) => eb(asText(eb.ref('r.tenant_id')), '=', key)),
    )
    .executeTakeFirst();
  return (
    row && {
      key,
      shared: row.shared,
      writerHost: row.host,
      port: row.port,
      database: row.database_name,
      ownerSecret: ownerSecretOf(row.owner_secret_arn, key),
    }
  );
}

export interface UpkeptTenant {
  readonly tenantId: string;
  readonly tier: Tier;
}

/** The next tenants of the database, by id. @throws {RegistryError} */
export async function listTenants(
  registry: RegistryExecutor,
  { key }: Pick<UpkeptDatabase, 'key'>,
  { after, limit }: { readonly after: string | undefined; readonly limit: number },
): Promise<UpkeptTenant[]> {
  const rows = await registrySql(registry)
    .selectFrom('tenants as t')
    .innerJoin('tenant_database_routing as r', 'r.tenant_id', 't.tenant_id')
    .select(['t.tenant_id', 't.subscription_tier'])
    .where((eb) => eb(eb.fn.coalesce('r.cell_id', asText(eb.ref('r.tenant_id'))), '=', key))
    .where('t.status', 'in', IN_USE)
    .$if(after !== undefined, (tenants) => tenants.where('t.tenant_id', '>', after as string))
    .orderBy('t.tenant_id')
    .limit(limit)
    .execute();
  return rows.map(({ tenant_id: tenantId, subscription_tier: tier }) => ({ tenantId, tier }));
}
