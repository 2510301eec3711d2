import { sql } from 'kysely';
import { askRegions, type Regions } from '../registry/ask-region.ts';
import { areCredentialsRotating } from '../registry/credential-rotations.ts';
import type { RegistryExecutor } from '../registry/data-api.ts';
import { registrySql } from '../registry/registry-sql.ts';
import { TenantBusy } from './errors.ts';

/** Finds a clone of the tenant in the registries of other regions: it may have been moved there, or the tenant. */
export type FindOtherClone = (tenantId: string) => Promise<string | undefined>;

/**
 * @param ownRegion the region of the tenant, whose registry is looked at in the transaction.
 * @returns a function that throws {RegionUnavailable}.
 */
export function clonesOfOtherRegions(registries: Regions, ownRegion: string): FindOtherClone {
  const others = registries.keys.filter((key) => key !== ownRegion);
  return async (tenantId) => {
    const found = await askRegions(registries, others, (registry) => findClone(registry, tenantId));
    return found.find((slug) => slug !== undefined);
  };
}

/** @returns the slug of one. */
async function findClone(registry: RegistryExecutor, tenantId: string): Promise<string | undefined> {
  const clone = await registrySql(registry)
    .selectFrom('tenants')
    .select('tenant_slug')
    .where('clone_of', '=', tenantId)
    .where('status', 'not in', ['offboarded', 'elsewhere'])
    .orderBy('tenant_slug')
    .limit(1)
    .executeTakeFirst();
  return clone?.tenant_slug;
}

export interface OtherWorkOptions {
  readonly ownExport?: string | null;
  readonly findOtherClone?: FindOtherClone | undefined;
}

/**
 * Refuses a tenant that other work would change, or copy, during an erasure: a move, restore, rollout, requested key rotation,
 * rotation of its credentials, backup or export; or of which a clone exists, because a clone has the same people's data.
 * @param transaction holds the lock of the tenant's row, which all of this work takes before it begins; or the tenant is in
 *   another region, where none begins any more.
 * @param ownExport the offboarding's own.
 * @param findOtherClone absent where there is one region.
 * @throws {TenantBusy} and the errors of `findOtherClone`.
 */
export async function refuseOtherWork(
  transaction: RegistryExecutor,
  tenantId: string,
  { ownExport = null, findOtherClone }: OtherWorkOptions = {},
): Promise<void> {
  const db = registrySql(transaction);
  const running = await db
    .selectFrom('tenant_moves')
    .select(sql<boolean>`restore is not null`.as('is_restore'))
    .where('tenant_id', '=', tenantId)
    .where('status', '=', 'running')
    .executeTakeFirst();
  if (running) throw new TenantBusy(`A ${running.is_restore ? 'restore' : 'move'} of the tenant is running.`);
  // Other regions last: a clone that is handed over meanwhile is in its new registry before it leaves the former one.
  const clone = (await findClone(transaction, tenantId)) ?? (await findOtherClone?.(tenantId));
  if (clone !== undefined) throw new TenantBusy(`The tenant has the clone "${clone}". Offboard that first.`);
  const backup = await db
    .selectFrom('tenant_backups')
    .select('backup_id')
    .where('tenant_id', '=', tenantId)
    .where('status', '=', 'running')
    .executeTakeFirst();
  if (backup) throw new TenantBusy('A backup of the tenant is running.');
  const other = await db
    .selectFrom('tenant_exports')
    .select('export_id')
    .where('tenant_id', '=', tenantId)
    .where('status', '=', 'running')
    .$if(ownExport !== null, (exports) => exports.where('export_id', '<>', ownExport as string))
    .executeTakeFirst();
  if (other) throw new TenantBusy('An export of the tenant is running.');
  const rotation = await db
    .selectFrom('field_rotations')
    .select('rotation_id')
    .where('tenant_id', '=', tenantId)
    .where('status', '=', 'running')
    // Those that begin by themselves stop with the tenant: their worker takes tenants that are served.
    .where('cause', '=', 'request')
    .executeTakeFirst();
  if (rotation) throw new TenantBusy('A key rotation of the tenant is running.');
  if (await areCredentialsRotating(transaction, tenantId))
    throw new TenantBusy('A credential rotation of the tenant is running.');
  const rollout = await db
    .selectFrom('schema_rollout_targets as t')
    .innerJoin('schema_rollouts as r', 'r.rollout_id', 't.rollout_id')
    .select('t.target')
    .where('t.tenant_id', '=', tenantId)
    .where('r.status', '=', 'running')
    .where('t.state', 'in', ['pending', 'working', 'deferred'])
    .limit(1)
    .executeTakeFirst();
  if (rollout) throw new TenantBusy('A schema rollout of the tenant is running.');
}
