/**
 * Tenants whose rows are lost with their database or their region. Reconciliation registers them from their backups:
 *
 *   (unknown, or without a placement) ──registry-reconcile──▶ failed ──onboarding, same input──▶ provisioning
 *     ──activation──▶ suspended ──a restore has succeeded──▶ the status that it had before
 *                               ──an operator makes it active──▶ active, without its rows
 *
 * `tenants.lost` is set from the first step to the last. Invariants:
 * - a tenant that has lost its rows serves no request: a client must not take its empty tables for its data;
 * - its new place has the epoch after the lost one, because caches keep the later of two epochs;
 * - the daily run makes no backup of it, so its latest backup is the one to restore.
 *
 * A new clone has no rows either, and `lost` is not set:
 *
 *   provisioning ──activation──▶ suspended ──its restore has succeeded──▶ active
 *                                          ──its restore has ended otherwise──▶ suspended; the same request fills it
 */
import { sql } from 'kysely';
import type { TenantStatus } from '../contracts/tenant.ts';
import type { RegistryExecutor } from './data-api.ts';
import { asNumber, now } from './registry-expressions.ts';
import { registrySql } from './registry-sql.ts';
import type { LostPlace } from './registry-tables.ts';

/** The tenant's `status_reason` after its onboarding. May be shown to a client. */
const ROWS_LOST = 'The rows of the tenant are lost. Restore the backup restoreFrom, and it is served again.';

/** Epoch of the place that onboarding makes, for `tenants as t`: 1, or the one after the lost place's. */
export const firstEpoch = asNumber(sql<string>`coalesce(cast(t.lost ->> 'epoch' as bigint), 0) + 1`);

/** The backup that brings the rows back, for `tenants as t`; null for a tenant that has its rows. */
export const restoreFrom = sql<string | null>`t.lost ->> 'backupId'`;

/** The `status_reason` of a clone from its onboarding until its restore has succeeded. May be shown to a client. */
const CLONE_EMPTY = 'The clone is empty. It is served when its restore has succeeded.';

/** What the activation of a tenant writes: one without its rows, as a new clone is, is not served yet. */
export const activated = {
  status: sql<TenantStatus>`case when lost is null and clone_of is null then 'active' else 'suspended' end`,
  status_reason: sql<string | null>`case when lost is not null then ${sql.lit(ROWS_LOST)}
    when clone_of is not null then ${sql.lit(CLONE_EMPTY)} end`,
};

/** After a clone's restore: it has its rows. Does nothing for one that an operator has suspended, or serves already. */
export async function serveClone(transaction: RegistryExecutor, tenantId: string): Promise<void> {
  await registrySql(transaction)
    .updateTable('tenants')
    .set({ status: 'active', status_reason: null, updated_at: now })
    .where('tenant_id', '=', tenantId)
    .where('status', '=', 'suspended')
    .where('status_reason', '=', CLONE_EMPTY)
    .execute();
}

/**
 * The clone of that slug whose restore has not succeeded: another restore may fill it.
 * @param adminEmail in any case: another address is another request.
 * @returns its id.
 */
export async function findEmptyClone(
  registry: RegistryExecutor,
  { slug, cloneOf, adminEmail }: { slug: string; cloneOf: string; adminEmail: string },
): Promise<string | undefined> {
  const found = await registrySql(registry)
    .selectFrom('tenants')
    .select('tenant_id')
    .where('tenant_slug', '=', slug)
    .where('clone_of', '=', cloneOf)
    .where('admin_email', '=', adminEmail.toLowerCase())
    .where('status', '=', 'suspended')
    .where('status_reason', '=', CLONE_EMPTY)
    .executeTakeFirst();
  return found?.tenant_id;
}

/** What makes a tenant active as it is. */
export const takenAsItIs = { lost: null, status_reason: null };

/**
 * What makes a suspension an operator's: the daily run of subscriptions serves a tenant again that it has suspended itself,
 * which it recognises by the reason.
 */
export const suspendedByOperator = {
  status_reason: sql<string | null>`case when lost is null then null else status_reason end`,
};

/** A tenant without its rows keeps its backups until one of them is restored. */
export const hasItsRows = sql<boolean>`(t.lost is null or t.status <> 'suspended')`;

/** After a restore of the tenant. Does nothing for a tenant that has lost nothing. */
export async function endLoss(transaction: RegistryExecutor, tenantId: string): Promise<void> {
  await registrySql(transaction)
    .updateTable('tenants')
    .set({
      status: sql<TenantStatus>`case when status = 'suspended' then lost ->> 'status' else status end`,
      status_reason: null,
      lost: null,
      updated_at: now,
    })
    .where('tenant_id', '=', tenantId)
    .where('lost', 'is not', null)
    .execute();
}

/** The status that the tenant has again once its rows are restored. */
export function statusAfterRestore(status: string | undefined): LostPlace['status'] {
  return status === 'suspended' || status === 'offboarding' ? status : 'active';
}
