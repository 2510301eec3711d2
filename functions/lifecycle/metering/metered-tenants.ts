import { dedicatedSecretName } from '../../placement/tenant-names.ts';
import type { RegistryExecutor } from '../../registry/data-api.ts';

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

interface Row {
  readonly tenant_id: string;
  readonly database_key: string;
  readonly host: string;
  readonly port: number;
  readonly database_name: string;
  readonly owner_secret_arn: string | null;
}

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
  const rows = await registry.query<Row>(
    `SELECT t.tenant_id::text AS tenant_id, COALESCE(r.cell_id, r.tenant_id::text) AS database_key,
            COALESCE(c.writer_host, r.writer_host) AS host, COALESCE(c.database_port, r.database_port) AS port,
            COALESCE(c.database_name, r.database_name) AS database_name, c.owner_secret_arn
     FROM tenants t
     JOIN tenant_database_routing r ON r.tenant_id = t.tenant_id
     LEFT JOIN cells c ON c.cell_id = r.cell_id
     WHERE t.status = 'active' AND r.region = :region
       ${after ? `AND (COALESCE(r.cell_id, r.tenant_id::text) COLLATE "C", t.tenant_id) > (:databaseKey, :tenantId::uuid)` : ''}
       ${
         since
           ? `AND NOT EXISTS (SELECT FROM usage_samples s WHERE s.tenant_id = t.tenant_id
                                  AND s.sampled_on = :day::date AND s.sampled_at >= :since::timestamptz)`
           : ''
       }
     ORDER BY COALESCE(r.cell_id, r.tenant_id::text) COLLATE "C", t.tenant_id
     LIMIT :limit::integer`,
    {
      ...{ region, limit },
      ...(after ? { databaseKey: after.databaseKey, tenantId: after.tenantId } : {}),
      ...(since ? { day, since } : {}),
    },
  );
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
