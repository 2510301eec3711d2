import * as z from 'zod/mini';
import type { IsolationModel } from '../contracts/tenant.ts';
import type { DatabaseAddress } from '../database/session/pools.ts';

/** Where one tenant's data is now. `epoch` grows with every move, so that the database recognises an outdated copy. */
export interface Placement {
  readonly tenantId: string;
  readonly epoch: number;
  readonly isolationModel: IsolationModel;
  /** AWS region, e.g. `eu-west-1`. */
  readonly region: string;
  readonly address: DatabaseAddress;
  /** Host of the readers, with everything else of the address; undefined without readers. Only for analytics. */
  readonly readerHost?: string | undefined;
  /** Version of the tables there according to the registry; undefined when the registry does not know it. */
  readonly schemaVersion?: number | undefined;
}

/** The columns of a placement as the registry returns them: those of `tenant_database_routing`, and the version. */
export interface RoutingRow {
  readonly tenant_id: string;
  readonly epoch: number;
  readonly isolation_model: IsolationModel;
  readonly region: string;
  readonly database_host: string;
  readonly database_port: number;
  readonly database_name: string;
  readonly secret_arn: string;
  readonly connection_pool_size: number | null;
  readonly schema_version?: number | null | undefined;
  readonly read_replica_host?: string | null | undefined;
}

const DEFAULT_POOL_SIZE = 10;

export function toPlacement(row: RoutingRow): Placement {
  return {
    tenantId: row.tenant_id,
    epoch: Number(row.epoch),
    isolationModel: row.isolation_model,
    region: row.region,
    address: {
      host: row.database_host,
      port: row.database_port,
      database: row.database_name,
      secretArn: row.secret_arn,
      poolSize: row.connection_pool_size ?? DEFAULT_POOL_SIZE,
    },
    ...(row.read_replica_host == null ? {} : { readerHost: row.read_replica_host }),
    ...(row.schema_version == null ? {} : { schemaVersion: Number(row.schema_version) }),
  };
}

const forwardedPlacement = z.object({
  epoch: z.int().check(z.positive()),
  isolation_model: z.enum(['shared', 'schema', 'dedicated']),
  region: z.string(),
  database_host: z.string(),
  database_port: z.int(),
  database_name: z.string(),
  secret_arn: z.string(),
  connection_pool_size: z.nullish(z.int()),
  schema_version: z.nullish(z.int()),
  read_replica_host: z.nullish(z.string()),
});

/** Reads the placement that a moved tenant's former database returns; undefined when it is incomplete. */
export function parseForward(tenantId: string, forward: unknown): Placement | undefined {
  const { data } = forwardedPlacement.safeParse(forward);
  return (
    data &&
    toPlacement({ ...data, tenant_id: tenantId, connection_pool_size: data.connection_pool_size ?? null })
  );
}

/** Where a tenant will be unless its move is rolled back. A container may connect there, and do nothing else yet. */
export interface NextPlace {
  /** Key of the region. */
  readonly region: string;
  readonly address: DatabaseAddress;
}

const place = z.object({
  region: z.string(),
  host: z.string(),
  port: z.int(),
  database: z.string(),
  secretArn: z.string(),
  poolSize: z.int(),
});

/** Undefined for an incomplete place: the place only saves time. */
export function parseNextPlace(text: string): NextPlace | undefined {
  const { data } = place.safeParse(JSON.parse(text));
  if (!data) return undefined;
  const { region, ...address } = data;
  return { region, address };
}
