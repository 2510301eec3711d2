import type { ObjectStore } from '../aws/object-store.ts';
import { type BackupManifest, type ManifestTable, readManifest } from '../backups/manifest.ts';
import { type FieldKeyEnvironment, variable } from '../contracts/environments.ts';
import { auditLog, auditSeals } from '../database/tables/operations-tables.ts';
import { claimedModestly, joinAttempt } from '../database/transfer/reshape/attempt-session.ts';
import type { Filling, HopContext } from '../moves/hop.ts';
import { SNAPSHOT_SECONDS } from '../moves/reshape/reshape-session.ts';
import type { RegistryExecutor } from '../registry/data-api.ts';
import { findTenantKey } from '../registry/field-keys.ts';
import { encryptForClone } from './clone-values.ts';
import type { Filled } from './load-backup.ts';
import { asLoader, type LoadedSchema, loadAndCompare, once, sumOf } from './load-backup.ts';
import { maskRows } from './mask-rows.ts';
import { findRestorable } from './restore-records.ts';

type FromBackup = Extract<Filling, { readonly from: 'backup' }>;

/**
 * Loads the parts of a backup, each in a transaction of the hop's attempt, then compares all tables with the manifest.
 * Then it masks a clone's rows, or encrypts their values for the clone.
 * @returns undefined if the deadline came first: call again.
 */
export async function fillFromBackup(
  registry: RegistryExecutor,
  context: HopContext,
  { store, filling }: { readonly store: ObjectStore; readonly filling: FromBackup },
): Promise<Filled | undefined> {
  const { attempt, target } = context.hop;
  const { schemaName } = target;
  const backup = await findRestorable(registry, filling.tenantId, filling.backupId);
  const tables = restoredTables(await readManifest(store, backup), filling);
  const schema: LoadedSchema = {
    place: target,
    tenantId: filling.tenantId,
    schemaName,
    tables,
    store,
    transaction: (loader, work) => claimedModestly(loader, attempt, work, { seconds: SNAPSHOT_SECONDS }),
    begin: (loader) => joinAttempt(loader, attempt.attemptId),
    deadline: context.deadline,
    progress: (update) => context.progress(update),
  };
  if (!(await loadAndCompare(schema))) return undefined;
  if (filling.mask) {
    await asLoader(schema, (loader) =>
      schema.transaction(loader, () =>
        once(loader, schemaName, 'masked', () => maskRows(loader, schemaName, filling.schemaVersion)),
      ),
    );
  }
  if (!filling.mask && filling.tenantId !== attempt.tenantId) {
    const done = await asLoader(schema, (loader) =>
      encryptForClone(loader, {
        schemaName,
        from: filling.tenantId,
        to: attempt.tenantId,
        keyArn: () => keyOfClone(registry, context),
        deadline: context.deadline,
        transaction: (work) => schema.transaction(loader, work),
        progress: () => context.progress({}),
      }),
    );
    if (!done) return undefined;
  }
  return {
    rows: sumOf(tables, 'rows'),
    bytes: sumOf(tables, 'rawBytes'),
    tables: tables.map(({ name, rows }) => ({ name, rows })),
  };
}

/** A clone that gets a dedicated database has a key of its own by now. */
async function keyOfClone(registry: RegistryExecutor, { hop }: HopContext): Promise<string> {
  const own =
    hop.target.isolationModel === 'dedicated' && (await findTenantKey(registry, hop.attempt.tenantId));
  return own || variable<FieldKeyEnvironment>('FIELD_KEY_ARN');
}

function restoredTables({ tables }: BackupManifest, { carried, mask }: FromBackup): ManifestTable[] {
  const leftOut = [
    ...carried,
    // A clone is another tenant: it begins a chain of its own over the entries that it gets.
    auditSeals.name,
    // A masked copy has no audit log: its entries describe persons in free text, which cannot be blanked reliably.
    ...(mask ? [auditLog.name] : []),
  ];
  return tables.filter(({ name }) => !leftOut.includes(name));
}
