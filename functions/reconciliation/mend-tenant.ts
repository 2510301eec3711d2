/**
 * Changes the registry's rows of one tenant to match its databases and manifests. Calls of AWS and S3 are made before
 * the transaction, because it must not wait for them while it holds the tenant's lock.
 */
import { limitsUnder } from '../moves/move-rules.ts';
import { writeRoute } from '../moves/other-region/tenant-row.ts';
import { tenantSecretName } from '../placement/tenant-names.ts';
import { type Place, tierOf } from '../places/place.ts';
import { requestAccountsOf } from '../registry/account-requests.ts';
import { recordAudit } from '../registry/audit-log.ts';
import type { RegistryExecutor } from '../registry/data-api.ts';
import { statusAfterRestore, takenAsItIs } from '../registry/lost-tenants.ts';
import { now } from '../registry/registry-expressions.ts';
import { registrySql } from '../registry/registry-sql.ts';
import { insertRecord, insertRows } from './insert-record.ts';
import type { Judged, Mend } from './judge-tenant.ts';
import type { FoundPlacement, RegionDatabases } from './region-databases.ts';
import { registerLost } from './register-lost.ts';
import { DEFAULT_POOL_SIZE, type RegisteredTenant } from './registered-tenants.ts';
import { expiryOf, type StoredBackup, type StoredManifest } from './stored-backups.ts';

const ACTOR = { id: 'registry-reconcile', type: 'workflow' } as const;

/** Data from outside the registry that the changes of a tenant need. */
export interface Prepared {
  readonly place: Place | undefined;
  /** Readable manifests of the tenant, latest first. */
  readonly manifests: readonly StoredManifest[];
}

/** @returns the ARN of the secret with that name. @throws Secrets Manager's error if it does not exist. */
export type FindSecret = (name: string) => Promise<string>;

/**
 * The place of a placement, with all columns of the routing row.
 * @throws the errors of PostgreSQL and Secrets Manager.
 */
export async function placeAt(
  databases: RegionDatabases,
  placement: FoundPlacement,
  {
    tenantId,
    region,
    poolSize = DEFAULT_POOL_SIZE,
    findSecret,
  }: {
    readonly tenantId: string;
    readonly region: string;
    readonly poolSize?: number | undefined;
    readonly findSecret: FindSecret;
  },
): Promise<Place> {
  const { database, epoch, isolationModel, schemaName, roleName } = placement;
  const { writerHost, port, ownerSecret, database: name } = database;
  const known = { region, writerHost, port, ownerSecret, database: name, epoch, isolationModel, schemaName };
  const rest = { ...known, roleName, poolSize, ...(await databases.versionsAt(placement)) };
  if (database.kind === 'dedicated') {
    const { host, readerHost, clusterArn, secretArn, stackName, databaseSize } = database.dedicated;
    return { ...rest, cellId: null, databaseSize, host, readerHost, clusterArn, secretArn, stackName };
  }
  const secretArn =
    isolationModel === 'shared'
      ? database.starterSecretArn
      : await findSecret(tenantSecretName(tenantId, roleName));
  const { cellId, host, clusterArn } = database;
  return { ...rest, cellId, host, readerHost: database.readerHost, clusterArn, secretArn, stackName: null };
}

/**
 * Makes the change of one difference. Call it in a transaction that holds the tenant's lock.
 * @returns whether the registry was changed.
 * @throws {RegistryError} 23505: another tenant has the slug or the name.
 * @throws {NoCellCapacity} no cell has room for a tenant whose rows are lost.
 */
export async function mend(
  transaction: RegistryExecutor,
  { tenantId, kind, mend: planned }: Judged,
  registered: RegisteredTenant | undefined,
  { place, manifests }: Prepared,
): Promise<boolean> {
  const work = planned?.work;
  if (!work) return false;
  const done = await perform(work);
  if (done) {
    const backup = work.do === 'record-backup' ? work.backup.backupId : undefined;
    await recordAudit(transaction, {
      actor: ACTOR,
      action: `registry.${work.do}`,
      tenantId,
      ...(backup === undefined ? {} : { resource: { type: 'backup', id: backup } }),
      data: backup === undefined ? { kind, epoch: place?.epoch, was: registered?.route ?? null } : { kind },
    });
  }
  return done;

  async function perform(each: Mend): Promise<boolean> {
    if (each.do === 'record-backup') {
      const stored = manifests.find(({ backup }) => backup.prefix === each.backup.prefix);
      return stored !== undefined && recordBackup(transaction, stored, each.backup);
    }
    if (each.do === 'register-lost') return registerLost(transaction, tenantId, registered, manifests);
    if (!place) return false;
    if (each.do === 'register') {
      const [latest] = manifests;
      if (!latest) return false;
      await insertRecord(transaction, latest.manifest, {
        tier: tierOf(place),
        isolationModel: place.isolationModel,
        schemaName: place.schemaName,
        databaseSize: place.databaseSize,
        region: place.region,
        status: statusAfterRestore(latest.manifest.tenant.status as string | undefined),
      });
    } else if (registered) {
      await followPlace(transaction, registered, place);
      if (each.do === 'activate') await activate(transaction, tenantId);
    }
    await writeRoute(transaction, tenantId, place);
    return true;
  }
}

async function followPlace(
  transaction: RegistryExecutor,
  { tenantId, tier, maxUsers, maxStorageGb }: RegisteredTenant,
  place: Place,
): Promise<void> {
  const next = tierOf(place);
  const limits = limitsUnder({ tier, maxUsers, maxStorageGb }, next);
  await registrySql(transaction)
    .updateTable('tenants')
    .set({
      isolation_model: place.isolationModel,
      schema_name: place.schemaName,
      subscription_tier: next,
      max_users: limits.maxUsers,
      max_storage_gb: limits.maxStorageGb,
      updated_at: now,
    })
    .where('tenant_id', '=', tenantId)
    .execute();
}

async function activate(transaction: RegistryExecutor, tenantId: string): Promise<void> {
  await registrySql(transaction)
    .updateTable('tenants')
    .set({ status: 'active', ...takenAsItIs, updated_at: now })
    .where('tenant_id', '=', tenantId)
    .execute();
  await requestAccountsOf(transaction, tenantId);
}

/** Inserts the record of a complete backup. It replaces a record of the backup as running or aborted. */
async function recordBackup(
  transaction: RegistryExecutor,
  { manifest, sha256 }: StoredManifest,
  backup: StoredBackup,
): Promise<boolean> {
  const { tenantId, backupId, tier, prefix } = backup;
  const expiresAt = expiryOf(backup, new Date(manifest.snapshotAt));
  if (expiresAt <= new Date()) return false;
  await registrySql(transaction)
    .deleteFrom('tenant_backups')
    .where('backup_id', '=', backupId)
    .where('status', 'in', ['running', 'aborted'])
    .execute();
  const parts = manifest.tables.flatMap(({ name, parts: own }) =>
    own.map((part, index) => ({ table: name, index, ...part })),
  );
  const sum = (figure: 'rows' | 'storedBytes') => parts.reduce((total, part) => total + part[figure], 0);
  await insertRows(transaction, 'tenant_backups', [
    {
      backup_id: backupId,
      tenant_id: tenantId,
      region: manifest.placement.region,
      tier,
      isolation_model: manifest.placement.isolationModel,
      epoch: manifest.placement.epoch,
      schema_version: manifest.schemaVersion,
      status: 'succeeded',
      phase: 'finished',
      prefix,
      started_by: ACTOR.id,
      attempt: 1,
      lanes: [null, null],
      rows: sum('rows'),
      bytes: sum('storedBytes'),
      manifest_sha256: sha256,
      // The manifest does not have the begin of the backup; the snapshot is taken soon after the begin.
      started_at: manifest.snapshotAt,
      snapshot_at: manifest.snapshotAt,
      finished_at: manifest.createdAt,
      expires_at: expiresAt.toISOString(),
      updated_at: new Date().toISOString(),
    },
  ]);
  await insertRows(
    transaction,
    'tenant_backup_parts',
    parts.map((part, number) => ({
      backup_id: backupId,
      part: number,
      table_name: part.table,
      part_index: part.index,
      state: 'done',
      object_key: part.key,
      rows: part.rows,
      raw_bytes: part.rawBytes,
      stored_bytes: part.storedBytes,
      sha256: part.sha256,
      content_hash: part.contentHash,
      updated_at: new Date().toISOString(),
    })),
  );
  return true;
}
