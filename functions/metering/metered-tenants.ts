import { sql } from 'kysely';
import { ownerSecretOf } from '../placement/tenant-names.ts';
import type { RegistryExecutor } from '../registry/data-api.ts';
import { asText, columnValue } from '../registry/registry-expressions.ts';
import { registrySql } from '../registry/registry-sql.ts';

/** A data database whose tenants are measured: a cell's, or an Enterprise tenant's own. */
export interface DataDatabase {
  /**
   * The cell's id, or the id of the tenant that owns the database. Unique among databases; the order of metering begins
   * with it.
   */
  readonly key: string;
  /** Host of the cluster itself, because the proxy accepts request roles only. */
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

/** The last tenant that was handled, in the order of metering. */
export interface MeteringCursor {
  readonly databaseKey: string;
  readonly tenantId: string;
}

/** Sorts after every tenant of its database. */
export const LAST_TENANT = 'ffffffff-ffff-ffff-ffff-ffffffffffff';

export interface MeteringRun {
  readonly region: string;
  /** UTC day of the samples, `YYYY-MM-DD`. */
  readonly day: string;
  /** Tenants that got the day's sample since this time are left out; RFC 3339. When absent, no tenant is left out. */
  readonly since?: string | undefined;
}

/**
 * The next active tenants of the region to measure, database by database. Host and secret of a cell come from the
 * cell's row, because a deployment updates that row and not the tenants' routing rows.
 * @throws {RegistryError}
 */
export async function listMeteredTenants(
  registry: RegistryExecutor,
  { region, day, since }: MeteringRun,
  { after, limit }: { after: MeteringCursor | undefined; limit: number },
): Promise<MeteredTenant[]> {
  // Cell ids and tenant ids are compared as bytes, whatever the database's collation.
  const key = sql<string>`coalesce(r.cell_id, ${asText(sql.ref<string>('r.tenant_id'))})`;
  const order = sql<string>`${key} collate "C"`;
  const rows = await registrySql(registry)
    .selectFrom('tenants as t')
    .innerJoin('tenant_database_routing as r', 'r.tenant_id', 't.tenant_id')
    .leftJoin('cells as c', 'c.cell_id', 'r.cell_id')
    .select(['t.tenant_id', key.as('database_key')])
    .select((eb) => [
      eb.fn.coalesce('c.owner_secret_arn', 'r.owner_secret_arn').as('owner_secret_arn'),
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
      ownerSecret: ownerSecretOf(row.owner_secret_arn, row.tenant_id),
    },
  }));
}
