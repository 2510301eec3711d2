/**
 * Registers a tenant whose rows are lost: with the record that the registry still has, else with the one of its latest
 * manifest, and with a planned place, as an onboarding that has failed. The same input resumes that
 * (functions/onboarding/register-tenant.ts), under the tenant's own id; then the backup is restored.
 */
import { DATABASE_SIZES, DEFAULT_DATABASE_SIZE } from '../contracts/database-size.ts';
import { tierTerms } from '../contracts/tier-terms.ts';
import { writeRoute } from '../moves/other-region/tenant-row.ts';
import { chooseCell } from '../placement/choose-cell.ts';
import { planPlace } from '../places/place.ts';
import type { RegistryExecutor } from '../registry/data-api.ts';
import { statusAfterRestore } from '../registry/lost-tenants.ts';
import { now } from '../registry/registry-expressions.ts';
import { registrySql } from '../registry/registry-sql.ts';
import type { LostPlace } from '../registry/registry-tables.ts';
import { insertRecord, type ReturnedTenant } from './insert-record.ts';
import { DEFAULT_POOL_SIZE, type RegisteredTenant } from './registered-tenants.ts';
import { expiryOf, type StoredManifest } from './stored-backups.ts';

/**
 * Part of a transaction that holds the tenant's lock.
 * @param manifests latest first.
 * @returns false where no backup is left that could be restored; nothing is changed then.
 * @throws {NoCellCapacity} no cell has room for it.
 * @throws {RegistryError} 23505: another tenant has the slug or the name.
 */
export async function registerLost(
  transaction: RegistryExecutor,
  tenantId: string,
  registered: RegisteredTenant | undefined,
  manifests: readonly StoredManifest[],
): Promise<boolean> {
  const latest = manifests.find(
    ({ backup, manifest }) => expiryOf(backup, new Date(manifest.snapshotAt)) > new Date(),
  );
  if (!latest) return false;
  const { tenant, placement, backupId, snapshotAt } = latest.manifest;
  const tier = registered?.tier ?? tenant.tier;
  const dataResidency = registered?.dataResidency ?? tenant.dataResidency;
  const lost: LostPlace = {
    epoch: Math.max(placement.epoch, registered?.route?.epoch ?? 0),
    status: statusAfterRestore(registered?.status ?? (tenant.status as string | undefined)),
    backupId,
  };
  const { isolationModel } = tierTerms[tier];
  const lastSize = registered ? registered.databaseSize : sizeOfRecord(tenant);
  const databaseSize = isolationModel === 'dedicated' ? (lastSize ?? DEFAULT_DATABASE_SIZE) : undefined;
  const cell = await chooseCell(transaction, { tier, dataResidency });
  const place = await planPlace(transaction, {
    tenantId,
    location: {
      isolationModel,
      cellId: isolationModel === 'dedicated' ? null : cell.cell_id,
      region: cell.region,
      ...(databaseSize ? { databaseSize } : {}),
    },
    epoch: lost.epoch + 1,
    suffix: `${lost.epoch + 1}`,
    poolSize: registered?.route?.poolSize ?? DEFAULT_POOL_SIZE,
  });
  const returned: ReturnedTenant = {
    tier,
    isolationModel,
    schemaName: place.schemaName,
    databaseSize,
    region: cell.region,
    status: 'failed',
    reason: `The database of the tenant is lost. Onboard it with the same input, then restore backup ${backupId} of ${snapshotAt}; strata revive does both.`,
    lost,
  };
  if (registered) await markLost(transaction, tenantId, returned);
  else await insertRecord(transaction, latest.manifest, returned);
  // A dedicated database gets its row when it is launched.
  if (place.host !== null) await writeRoute(transaction, tenantId, place);
  return true;
}

/** The size of the record in a manifest; manifests of earlier releases have none. */
const sizeOfRecord = ({ databaseSize }: Readonly<Record<string, unknown>>) =>
  DATABASE_SIZES.find((size) => size === databaseSize);

/** Limits, users and settings stay as the registry has them. */
async function markLost(
  transaction: RegistryExecutor,
  tenantId: string,
  { isolationModel, schemaName, databaseSize, region, status, reason, lost }: ReturnedTenant,
): Promise<void> {
  const db = registrySql(transaction);
  await db.deleteFrom('tenant_database_routing').where('tenant_id', '=', tenantId).execute();
  await db
    .updateTable('tenants')
    .set({
      isolation_model: isolationModel,
      schema_name: schemaName,
      database_size: databaseSize ?? null,
      home_region: region,
      status,
      status_reason: reason ?? null,
      execution_arn: null,
      lost: lost ?? null,
      updated_at: now,
    })
    .where('tenant_id', '=', tenantId)
    .execute();
}
