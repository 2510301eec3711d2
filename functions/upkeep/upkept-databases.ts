import { dedicatedSecretName } from '../placement/tenant-names.ts';
import type { OwnedDatabase } from '../provisioning/owner-connection.ts';
import type { RegistryExecutor } from '../registry/data-api.ts';
import type { Tier } from '../registry/tenant-record.ts';

/** A data database of the region: a cell's, or an Enterprise tenant's own. */
export interface UpkeptDatabase extends OwnedDatabase {
  /** The cell's id, or the tenant's whose database it is. */
  readonly key: string;
  /** Whether it is a cell, which has shared tables. */
  readonly shared: boolean;
}

/** Tenants that have data and keep it; the others are being made or removed. */
const KEPT = `t.status IN ('active', 'suspended')`;

/** Keys of the region's databases, cells first. @throws {RegistryError} */
export async function listDatabases(registry: RegistryExecutor, region: string): Promise<string[]> {
  const rows = await registry.query<{ key: string }>(
    `SELECT key FROM (
       SELECT c.cell_id AS key, 1 AS kind FROM cells c WHERE c.region = :region
       UNION ALL
       SELECT r.tenant_id::text, 2 FROM tenant_database_routing r JOIN tenants t ON t.tenant_id = r.tenant_id
       WHERE r.region = :region AND r.cell_id IS NULL AND ${KEPT}
     ) AS databases ORDER BY kind, key`,
    { region },
  );
  return rows.map(({ key }) => key);
}

interface Row {
  readonly host: string;
  readonly port: number;
  readonly database_name: string;
  readonly owner_secret_arn: string | null;
}

/** Undefined where the registry has no such database any more. @throws {RegistryError} */
export async function findDatabase(
  registry: RegistryExecutor,
  region: string,
  key: string,
): Promise<UpkeptDatabase | undefined> {
  const [row] = await registry.query<Row>(
    `SELECT c.writer_host AS host, c.database_port AS port, c.database_name, c.owner_secret_arn
     FROM cells c WHERE c.region = :region AND c.cell_id = :key
     UNION ALL
     SELECT r.writer_host, r.database_port, r.database_name, NULL FROM tenant_database_routing r
     WHERE r.region = :region AND r.cell_id IS NULL AND r.tenant_id::text = :key`,
    { region, key },
  );
  return (
    row && {
      key,
      shared: row.owner_secret_arn !== null,
      writerHost: row.host,
      port: row.port,
      database: row.database_name,
      ownerSecret: row.owner_secret_arn ?? dedicatedSecretName(key, 'owner'),
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
  const rows = await registry.query<{ tenant_id: string; subscription_tier: Tier }>(
    `SELECT t.tenant_id::text AS tenant_id, t.subscription_tier
     FROM tenants t JOIN tenant_database_routing r ON r.tenant_id = t.tenant_id
     WHERE COALESCE(r.cell_id, r.tenant_id::text) = :key AND ${KEPT}
       ${after ? 'AND t.tenant_id > :after::uuid' : ''}
     ORDER BY t.tenant_id LIMIT :limit::integer`,
    { key, limit, ...(after ? { after } : {}) },
  );
  return rows.map(({ tenant_id: tenantId, subscription_tier: tier }) => ({ tenantId, tier }));
}
