/** The rows of tenants in the registry, as far as they are compared. */
import { sql } from 'kysely';
import type { DatabaseSize } from '../contracts/database-size.ts';
import type { IsolationModel, TenantStatus, Tier } from '../contracts/tenant.ts';
import type { RegistryExecutor } from '../registry/data-api.ts';
import { firstEpoch } from '../registry/lost-tenants.ts';
import { jsonValue } from '../registry/registry-expressions.ts';
import { registrySql } from '../registry/registry-sql.ts';

export interface Route {
  readonly epoch: number;
  readonly isolationModel: IsolationModel;
  readonly cellId: string | null;
  readonly schemaName: string | null;
  readonly roleName: string | null;
  readonly poolSize: number;
}

export interface RegisteredBackup {
  readonly backupId: string;
  readonly status: 'running' | 'succeeded' | 'failed' | 'aborted' | 'expired';
  readonly hasExpired: boolean;
}

export interface RegisteredTenant {
  readonly tenantId: string;
  readonly status: TenantStatus;
  readonly tier: Tier;
  readonly isolationModel: IsolationModel;
  /** Of its dedicated database; null for none, and for the usual size. */
  readonly databaseSize: DatabaseSize | null;
  readonly dataResidency: string | null;
  readonly maxUsers: number | null;
  readonly maxStorageGb: number | null;
  readonly route: Route | undefined;
  /** Epoch of the place that its onboarding makes, or made. */
  readonly firstEpoch: number;
  /** Its rows are lost, and it waits for them. */
  readonly isLost: boolean;
  /** A move or restore is running, or a hop of one is open. */
  readonly isMoving: boolean;
  /** Attempts of the registry that may have claimed the tenant. */
  readonly attempts: readonly string[];
  readonly backups: readonly RegisteredBackup[];
}

/** The lowest ids after `after` of tenants in the registry, in ascending order. */
export async function registeredAfter(
  registry: RegistryExecutor,
  after: string | undefined,
  limit: number,
): Promise<string[]> {
  const rows = await registrySql(registry)
    .selectFrom('tenants')
    .select('tenant_id')
    .$if(after !== undefined, (tenants) => tenants.where('tenant_id', '>', after as string))
    .orderBy('tenant_id')
    .limit(limit)
    .execute();
  return rows.map(({ tenant_id: tenantId }) => tenantId);
}

/**
 * @param tenantIds about fifty at most: an answer of the Data API is limited to 1 MiB, and each tenant has a record of
 *   a backup for each day of its retention.
 * @param lock locks the tenants' rows until the transaction ends.
 */
export async function readRegistered(
  registry: RegistryExecutor,
  tenantIds: readonly string[],
  { lock = false }: { readonly lock?: boolean } = {},
): Promise<Map<string, RegisteredTenant>> {
  if (tenantIds.length === 0) return new Map();
  const db = registrySql(registry);
  const tenants = await db
    .selectFrom('tenants as t')
    .leftJoin('tenant_database_routing as r', 'r.tenant_id', 't.tenant_id')
    .select(['t.tenant_id', 't.status', 't.subscription_tier', 't.isolation_model', 't.max_users'])
    .select(['t.max_storage_gb', 'r.epoch', 'r.isolation_model as routed_as', 'r.cell_id', 'r.schema_name'])
    .select(['r.role_name', 'r.connection_pool_size', 't.data_residency', firstEpoch.as('first_epoch')])
    .select('t.database_size')
    .select((eb) => eb('t.lost', 'is not', null).as('is_lost'))
    .select((eb) =>
      eb
        .exists(
          eb
            .selectFrom('tenant_moves as m')
            .select('m.move_id')
            .whereRef('m.tenant_id', '=', 't.tenant_id')
            .where('m.status', '=', 'running'),
        )
        .as('is_moving'),
    )
    .where('t.tenant_id', 'in', tenantIds)
    .$if(lock, (rows) => rows.forUpdate('t'))
    .execute();
  const hops = await db
    .selectFrom('tenant_move_hops')
    .select(['tenant_id', 'attempt_id', 'state'])
    .where('tenant_id', 'in', tenantIds)
    .where('state', 'in', ['working', 'committed', 'rolling-back', 'mismatch'])
    .execute();
  const backups = await db
    .selectFrom('tenant_backups')
    .select(['backup_id', 'tenant_id', 'status'])
    .select(sql<boolean>`expires_at <= now()`.as('has_expired'))
    .where('tenant_id', 'in', tenantIds)
    .execute();
  return new Map(
    tenants.map((row): [string, RegisteredTenant] => {
      const { tenant_id: tenantId, epoch, routed_as: routedAs } = row;
      const own = hops.filter((hop) => hop.tenant_id === tenantId);
      const route =
        epoch === null || routedAs === null
          ? undefined
          : {
              epoch,
              isolationModel: routedAs,
              cellId: row.cell_id,
              schemaName: row.schema_name,
              roleName: row.role_name,
              poolSize: row.connection_pool_size ?? DEFAULT_POOL_SIZE,
            };
      return [
        tenantId,
        {
          tenantId,
          status: row.status,
          tier: row.subscription_tier,
          isolationModel: row.isolation_model,
          databaseSize: row.database_size,
          dataResidency: row.data_residency,
          maxUsers: row.max_users,
          maxStorageGb: row.max_storage_gb,
          route,
          firstEpoch: row.first_epoch,
          isLost: Boolean(row.is_lost),
          isMoving: Boolean(row.is_moving) || own.some(({ state }) => state !== 'mismatch'),
          attempts: own.map((hop) => hop.attempt_id),
          backups: backups
            .filter((backup) => backup.tenant_id === tenantId)
            .map((backup) => ({
              backupId: backup.backup_id,
              status: backup.status,
              hasExpired: Boolean(backup.has_expired),
            })),
        },
      ];
    }),
  );
}

export const DEFAULT_POOL_SIZE = 10;

/** Rows per statement: a request of the Data API is limited to 4 MiB. */
export const PARTS_AT_ONCE = 1_000;

/** SQL of a set of rows for `insert … select`. */
export const recordset = (table: string, rows: readonly object[]) =>
  sql`jsonb_populate_recordset(cast(null as ${sql.table(table)}), ${jsonValue(rows)})`;
