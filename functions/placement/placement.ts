import * as z from 'zod/mini';
import type { IsolationModel } from '../contracts/tenant.ts';
import type { DatabaseAddress } from '../database/session/pools.ts';

/** Where one tenant's data is now. `epoch` grows with every move, so a stale copy is recognised by the database. */
export interface Placement {
  readonly tenantId: string;
  readonly epoch: number;
  readonly isolationModel: IsolationModel;
  /** AWS region, e.g. `eu-west-1`. */
  readonly region: string;
  readonly address: DatabaseAddress;
  /** Version of the tables there, as the registry last heard; undefined where it does not say. */
  readonly schemaVersion?: number | undefined;
}

/** The columns that make a placement, as the registry answers them: of `tenant_database_routing`, and the version. */
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
});

/** The placement that a moved tenant's old database points to; undefined where it tells none that is whole. */
export function parseForward(tenantId: string, forward: unknown): Placement | undefined {
  const { data } = forwardedPlacement.safeParse(forward);
  return (
    data &&
    toPlacement({ ...data, tenant_id: tenantId, connection_pool_size: data.connection_pool_size ?? null })
  );
}

/** Where a tenant will be, unless its move is rolled back: nothing may be done there yet but to connect. */
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

/** Undefined for a place that is not complete: it only saves time. */
export function parseNextPlace(text: string): NextPlace | undefined {
  const { data } = place.safeParse(JSON.parse(text));
  if (!data) return undefined;
  const { region, ...address } = data;
  return { region, address };
}
