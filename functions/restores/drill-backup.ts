/**
 * A drill proves that a backup can be restored: it loads the backup into a scratch schema, compares the rows with the
 * manifest, builds keys and foreign keys, and drops the schema. It neither reads nor changes the tenant's data.
 *
 *   none ──created──▶ bare ──loaded, compared──▶ keys and foreign keys built ──dropped, result recorded──▶ none
 */
import { sql } from 'kysely';
import type pg from 'pg';
import type { ObjectStore } from '../aws/object-store.ts';
import { readManifest } from '../backups/manifest.ts';
import { ddlTransaction, lockForDdl, runStatements } from '../database/ddl/ddl-connection.ts';
import { identifier, literal } from '../database/ddl/identifier.ts';
import { commentOf, refuseForeignSchema } from '../database/provisioning/tenant-schema.ts';
import { isolatedTarget } from '../database/tables/migrate-tenant-tables.ts';
import { createTable } from '../database/tables/render-tables.ts';
import { TENANT_SCHEMA_VERSION } from '../database/tables/schema-version.ts';
import { tenantTablesAt } from '../database/tables/tenant-tables.ts';
import { inTransaction } from '../database/transfer/claim.ts';
import { buildPieces } from '../database/transfer/target-schema.ts';
import { SNAPSHOT_SECONDS } from '../moves/reshape/reshape-session.ts';
import { drillSchemaName, drillSchemaPrefix } from '../placement/tenant-names.ts';
import { findPlace } from '../places/place.ts';
import { asOwnerOf } from '../places/place-database.ts';
import type { RegistryExecutor } from '../registry/data-api.ts';
import { jsonValue } from '../registry/registry-expressions.ts';
import { registrySql } from '../registry/registry-sql.ts';
import type { BackupDrill } from '../registry/registry-tables.ts';
import { BackupTablesNewer, TenantNotRestorable } from './errors.ts';
import { createSteps, loadAndCompare } from './load-backup.ts';
import { findRestorable } from './restore-records.ts';

export interface Drilled {
  readonly tenantId: string;
  readonly backupId: string;
}

/** A drill has few resources, so that it does not slow the cell's tenants. */
const POWER = { memory: '128MB', workers: 0 } as const;

/**
 * Runs a drill in the tenant's current database. Call it until it is done.
 * @throws {BackupUnknown | TenantNotRestorable | BackupTablesNewer} there is no such backup, no place for the drill, or
 *   this release is too old.
 * @throws {BackupError} the backup cannot be restored.
 * @throws errors of S3 and PostgreSQL.
 */
export async function drillBackup(
  registry: RegistryExecutor,
  store: ObjectStore,
  { tenantId, backupId }: Drilled,
  deadline: number,
): Promise<{ readonly done: boolean }> {
  const backup = await findRestorable(registry, tenantId, backupId);
  const place = await findPlace(registry, tenantId);
  if (!place) throw new TenantNotRestorable('The tenant has no place.');
  const manifest = await readManifest(store, backup);
  const { schemaVersion, tables } = manifest;
  if (schemaVersion > TENANT_SCHEMA_VERSION) {
    throw new BackupTablesNewer(schemaVersion, TENANT_SCHEMA_VERSION);
  }
  const schemaName = drillSchemaName(tenantId, backupId);
  return asOwnerOf(place, async (owner) => {
    await makeScratch(owner, tenantId, schemaName, schemaVersion);
    const loaded = await loadAndCompare({
      place,
      tenantId,
      schemaName,
      tables,
      store,
      transaction: (loader, work) => inTransaction(loader, 'read committed', SNAPSHOT_SECONDS, work),
      deadline,
      progress: async () => {},
    });
    if (!loaded) return { done: false };
    const built = await buildPieces(
      [owner],
      { schemaName, schemaVersion },
      POWER,
      async () => performance.now() <= deadline,
    );
    if (!built) return { done: false };
    await dropScratch(owner, tenantId);
    await recordDrill(registry, { tenantId, backupId }, { status: 'passed', at: new Date().toISOString() });
    return { done: true };
  });
}

/**
 * Records that a backup could not be restored, and drops the drill's scratch schema.
 * @param reason may be shown to a client.
 */
export async function failDrill(
  registry: RegistryExecutor,
  { tenantId, backupId }: Drilled,
  reason: string,
): Promise<void> {
  await recordDrill(
    registry,
    { tenantId, backupId },
    { status: 'failed', at: new Date().toISOString(), reason },
  );
  const place = await findPlace(registry, tenantId);
  if (place) await asOwnerOf(place, (owner) => dropScratch(owner, tenantId));
}

async function makeScratch(
  owner: pg.Client,
  tenantId: string,
  schemaName: string,
  schemaVersion: number,
): Promise<void> {
  await ddlTransaction(owner, async (transaction) => {
    await lockForDdl(transaction, schemaName);
    await refuseForeignSchema(transaction, schemaName, tenantId);
    const { rows } = await sql`select from pg_catalog.pg_namespace where nspname = ${schemaName}`.execute(
      transaction,
    );
    if (rows.length > 0) return;
    const target = isolatedTarget(schemaName, '');
    await runStatements(transaction, [
      `CREATE SCHEMA ${identifier(schemaName)}`,
      `COMMENT ON SCHEMA ${identifier(schemaName)} IS ${literal(commentOf(tenantId))}`,
      ...tenantTablesAt(schemaVersion).flatMap((table) => createTable(target, table, { keys: 'none' })),
      createSteps(schemaName),
    ]);
  });
}

/** Drops the tenant's scratch schemas, also those of earlier drills that were cut off and never repeated. */
async function dropScratch(owner: pg.Client, tenantId: string): Promise<void> {
  const { rows } = await owner.query<{ name: string }>(
    `select nspname as name from pg_catalog.pg_namespace
     where pg_catalog.starts_with(nspname, $1) and pg_catalog.obj_description(oid, 'pg_namespace') = $2`,
    [drillSchemaPrefix(tenantId), commentOf(tenantId)],
  );
  for (const { name } of rows) await owner.query(`DROP SCHEMA IF EXISTS ${identifier(name)} CASCADE`);
}

/** Records the drill in the rows of the backup and of the tenant: the backup's row is deleted once it expires. */
async function recordDrill(
  registry: RegistryExecutor,
  { tenantId, backupId }: Drilled,
  drill: BackupDrill,
): Promise<void> {
  const last_drill = sql<never>`${jsonValue(drill)}`;
  const db = registrySql(registry);
  await db.updateTable('tenant_backups').set({ last_drill }).where('backup_id', '=', backupId).execute();
  await db.updateTable('tenants').set({ last_drill }).where('tenant_id', '=', tenantId).execute();
}
