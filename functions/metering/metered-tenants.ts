import { sql } from 'kysely';
import { dedicatedSecretName } from '../placement/tenant-names.ts';
import type { RegistryExecutor } from '../registry/data-api.ts';
import { asText, columnValue } from '../registry/registry-expressions.ts';
import { registrySql } from '../registry/registry-sql.ts';

/** A data database that tenants are measured in: a cell's, or an Enterprise tenant's own. */
export interface DataDatabase {
  /** The cell, or the tenant whose database it is: unique among databases, and what the order of metering begins with. */
  readonly key: string;
  /** The cluster itself: the proxy knows request roles only. */
  readonly host: string;
  readonly port: number;
  readonly database: string;
  /** Name or ARN of the secret of the role that owns the schemas. */
  readonly ownerSecret: string;
}

export interface MeteredTenant {
  readonly tenantId: string;
  readonly database: DataDatabase;
}

/** The last tenant that was seen to, in the order of metering. */
export interface MeteringCursor {
  readonly databaseKey: string;
  readonly tenantId: string;
}

/** Behind every tenant of its database. */
export const LAST_TENANT = 'ffffffff-ffff-ffff-ffff-ffffffffffff';

export interface MeteringRun {
  readonly region: string;
  /** UTC day of the samples, `YYYY-MM-DD`. */
  readonly day: string;
  /** Tenants that have had their sample of the day since then are left out; RFC 3339. Absent: nobody is. */
  readonly since?: string | undefined;
}

/**
 * The next active tenants of the region to measure, database by database. A cell's row is asked for where the cell is: a
 * deployment brings that one up to date, and not the tenants' routing rows.
 * @throws {RegistryError}
 */
export async function listMeteredTenants(
  registry: RegistryExecutor,
  { region, day, since }: MeteringRun,
  { after, limit }: { after: MeteringCursor | undefined; limit: number },
): Promise<MeteredTenant[]> {
  // A cell's id and a tenant's are compared as bytes, whatever the database's collation.
  const key = sql<string>`coalesce(r.cell_id, ${asText(sql.ref<string>('r.tenant_id'))})`;
  const order = sql<string>`${key} collate "C"`;
  const rows = await registrySql(registry)
    .selectFrom('tenants as t')
    .innerJoin('tenant_database_routing as r', 'r.tenant_id', 't.tenant_id')
    .leftJoin('cells as c', 'c.cell_id', 'r.cell_id')
    .select(['t.tenant_id', key.as('database_key'), 'c.owner_secret_arn'])
    .select((eb) => [
      eb.fn.coalesce('c.writer_host', 'r.writer_host').$notNull().as('host'),
      eb.fn.coalesce('c.database_port', 'r.database_port').as('port'),
      eb.fn.coalesce('c.database_name', 'r.database_name').as('database_name'),
    ])
    .where('t.status', '=', 'active')
    .where('t.clone_of', 'is', null)
    .where('r.region', '=', region)
    .$if(after !== undefined, (tenants) => {
      const { databaseKey, tenantId } = after as MeteringCursor;
      return tenants.where((eb) =>
        eb(eb.tuple(order, eb.ref('t.tenant_id')), '>', eb.tuple(databaseKey, tenantId)),
      );
    })
    .$if(since !== undefined, (tenants) =>
      tenants.where((eb) =>
        eb.not(
          eb.exists(
            eb
              .selectFrom('usage_samples as s')
              .select('s.tenant_id')
              .whereRef('s.tenant_id', '=', 't.tenant_id')
              .where('s.sampled_on', '=', day)
              .where('s.sampled_at', '>=', columnValue('usage_samples.sampled_at', since as string)),
          ),
        ),
      ),
    )
    .orderBy(order)
    .orderBy('t.tenant_id')
    .limit(limit)
    .execute();
  return rows.map((row) => ({
    tenantId: row.tenant_id,
    database: {
      key: row.database_key,
      host: row.host,
      port: row.port,
      database: row.database_name,
      ownerSecret: row.owner_secret_arn ?? dedicatedSecretName(row.tenant_id, 'owner'),
    },
  }));
}
