/**
 * The registry's record of an export.
 *
 *   running ──archive written──▶ succeeded ──expires_at──▶ objects deleted ──▶ (no row)
 *   running ──▶ failed | aborted ──▶ objects deleted (phase `discarded`) ──expires_at──▶ (no row)
 *
 * `phase` of a running export: planned (requested), begun, backup (its backup is being made), write (its parts are
 * being written), pack (the archive is being packed), finished. An index of the registry allows one running export per
 * tenant. Every change of a record requires that the export is running.
 */
import { type InferResult, sql } from 'kysely';
import type { BackedUpTenant } from '../backups/backup-records.ts';
import { EXPORT_POLICY, exportPrefix } from '../contracts/backup-policy.ts';
import { type AuditActor, recordAudit } from '../registry/audit-log.ts';
import type { RegistryExecutor } from '../registry/data-api.ts';
import { RegistryError } from '../registry/errors.ts';
import { parseJson, type TimeWithoutZone } from '../registry/registry-column.ts';
import { asText, now, rfc3339, secondsSince } from '../registry/registry-expressions.ts';
import { registrySql } from '../registry/registry-sql.ts';
import type { StoredText } from '../registry/registry-tables.ts';
import { ExportInProgress, ExportOvertaken, ExportSourceUnknown } from './errors.ts';

/** The columns of `tenant_exports` that its workflow uses. */
export interface ExportRecord {
  readonly exportId: string;
  readonly tenantId: string;
  readonly status: 'running' | 'succeeded' | 'failed' | 'aborted';
  readonly phase: string;
  readonly prefix: string;
  readonly backupId: string | null;
  readonly executionArn: string | null;
  /** RFC 3339. */
  readonly startedAt: string;
  /** Time since the request. */
  readonly ageSeconds: number;
}

const exportsQuery = (registry: RegistryExecutor) =>
  registrySql(registry)
    .selectFrom('tenant_exports as e')
    .select([
      'e.export_id',
      'e.tenant_id',
      'e.status',
      'e.phase',
      'e.prefix',
      'e.backup_id',
      'e.execution_arn',
    ])
    .select((eb) => [
      rfc3339(eb.ref('e.started_at')).as('started_at'),
      secondsSince(eb.ref('e.started_at')).as('age_seconds'),
    ]);

type ExportsQuery = ReturnType<typeof exportsQuery>;
type ExportRow = InferResult<ExportsQuery>[number];

/** @param where a condition on `tenant_exports as e`. @returns the exports that satisfy it, oldest first. */
export async function selectExports(
  registry: RegistryExecutor,
  where: (all: ExportsQuery) => ExportsQuery,
): Promise<ExportRecord[]> {
  const found = where(exportsQuery(registry)).orderBy('e.started_at').orderBy('e.export_id');
  return (await found.execute()).map(toRecord);
}

/** The tenant's running export. */
export async function findRunningExport(
  registry: RegistryExecutor,
  tenantId: string,
): Promise<ExportRecord | undefined> {
  const [running] = await selectExports(registry, (all) =>
    all.where('e.tenant_id', '=', tenantId).where('e.status', '=', 'running'),
  );
  return running;
}

export async function findExport(
  registry: RegistryExecutor,
  exportId: string,
): Promise<ExportRecord | undefined> {
  const [found] = await selectExports(registry, (all) => all.where('e.export_id', '=', exportId));
  return found;
}

/** @throws {ExportOvertaken} the export is not running. */
export async function runningExport(registry: RegistryExecutor, exportId: string): Promise<ExportRecord> {
  const found = await findExport(registry, exportId);
  if (found?.status !== 'running') throw new ExportOvertaken();
  return found;
}

export interface NewExport {
  readonly exportId: string;
  readonly tenant: BackedUpTenant;
  readonly executionArn: string;
  readonly startedBy: string;
  /** The backup to export; if undefined, the export makes a new one. */
  readonly backupId: string | undefined;
  /** `planned` until the execution has begun. */
  readonly phase: 'planned' | 'begun';
}

/**
 * Inserts a running export and its entry in the audit log.
 * @throws {ExportInProgress} the tenant has a running export.
 * @throws {ExportSourceUnknown} the tenant has no such backup.
 */
export async function insertExport(
  transaction: RegistryExecutor,
  { exportId, tenant, executionArn, startedBy, backupId, phase }: NewExport,
  actor: AuditActor,
): Promise<void> {
  const { tenantId, region } = tenant;
  if (backupId !== undefined && !(await isExportable(transaction, tenantId, backupId)))
    throw new ExportSourceUnknown();
  try {
    await registrySql(transaction)
      .insertInto('tenant_exports')
      .values({
        export_id: exportId,
        tenant_id: tenantId,
        region,
        phase,
        prefix: exportPrefix(tenantId, exportId),
        execution_arn: executionArn,
        started_by: startedBy,
        backup_id: backupId ?? null,
        expires_at: sql<TimeWithoutZone>`now() + ${sql.lit(EXPORT_POLICY.retentionDays)} * interval '24 hours'`,
      })
      .execute();
  } catch (error) {
    // The second of two concurrent inserts violates the index `one_running_export`.
    if (error instanceof RegistryError && error.sqlState === '23505') throw new ExportInProgress();
    throw error;
  }
  await recordAudit(transaction, {
    actor,
    action: 'export.start',
    tenantId,
    resource: { type: 'export', id: exportId },
    data: { startedBy, ...(backupId === undefined ? {} : { backupId }) },
  });
}

async function isExportable(
  registry: RegistryExecutor,
  tenantId: string,
  backupId: string,
): Promise<boolean> {
  const known = await registrySql(registry)
    .selectFrom('tenant_backups')
    .select('backup_id')
    .where('backup_id', '=', backupId)
    .where('tenant_id', '=', tenantId)
    .where('status', '=', 'succeeded')
    .where('expires_at', '>', now)
    .executeTakeFirst();
  return known !== undefined;
}

export interface ExportChange {
  readonly phase: 'begun' | 'backup' | 'write' | 'pack';
  readonly backupId?: string;
  readonly partsTotal?: number;
  /** RFC 3339. */
  readonly snapshotAt?: string;
}

/** Records the phase of an export. @throws {ExportOvertaken} the export is not running. */
export async function setPhase(
  registry: RegistryExecutor,
  exportId: string,
  { phase, backupId, partsTotal, snapshotAt }: ExportChange,
): Promise<void> {
  const changed = await registrySql(registry)
    .updateTable('tenant_exports')
    .set({
      phase,
      ...(backupId === undefined ? {} : { backup_id: backupId }),
      ...(partsTotal === undefined ? {} : { parts_total: partsTotal }),
      ...(snapshotAt === undefined ? {} : { snapshot_at: snapshotAt }),
      updated_at: now,
    })
    .where('export_id', '=', exportId)
    .where('status', '=', 'running')
    .returning('export_id')
    .execute();
  if (changed.length === 0) throw new ExportOvertaken();
}

/** The rows of one part of the backup as text, in two objects. */
export interface ExportPart {
  /** Number of the part in the backup's manifest, over all tables. */
  readonly part: number;
  readonly rows: number;
  readonly csv: StoredText;
  readonly sql: StoredText;
}

/** Parts per statement: an answer of the Data API is limited to 1 MiB. */
const PARTS_AT_ONCE = 1_000;

/** The parts that are written, in the order of the manifest. */
export async function writtenParts(registry: RegistryExecutor, exportId: string): Promise<ExportPart[]> {
  const parts: ExportPart[] = [];
  for (;;) {
    const rows = await registrySql(registry)
      .selectFrom('tenant_export_parts')
      .select((eb) => ['part', 'rows', asText(eb.ref('csv')).as('csv'), asText(eb.ref('sql')).as('sql')])
      .where('export_id', '=', exportId)
      .where('part', '>', parts.at(-1)?.part ?? -1)
      .orderBy('part')
      .limit(PARTS_AT_ONCE)
      .execute();
    for (const { part, rows: count, csv, sql: copy } of rows)
      parts.push({ part, rows: count, csv: parseJson(csv), sql: parseJson(copy) });
    if (rows.length < PARTS_AT_ONCE) return parts;
  }
}

/**
 * Records a part. Does nothing if another call of the function has recorded the part: the archive uses that call's
 * objects.
 * @throws {ExportOvertaken} the export is not running.
 */
export async function keepPart(
  registry: RegistryExecutor,
  exportId: string,
  { part, rows, csv, sql: copy }: ExportPart,
): Promise<void> {
  await runningExport(registry, exportId);
  await registrySql(registry)
    .insertInto('tenant_export_parts')
    .values({ export_id: exportId, part, rows, csv: { ...csv }, sql: { ...copy } })
    .onConflict((other) => other.columns(['export_id', 'part']).doNothing())
    .execute();
}

export interface ExportArchive {
  readonly bucket: string;
  readonly objectKey: string;
  readonly rows: number;
  readonly bytes: number;
  readonly sha256: string;
}

/** Ends an export as succeeded. @returns false if it is not running. */
export async function finishRecord(
  transaction: RegistryExecutor,
  { exportId, tenantId }: Pick<ExportRecord, 'exportId' | 'tenantId'>,
  { bucket, objectKey, rows, bytes, sha256 }: ExportArchive,
  actor: AuditActor,
): Promise<boolean> {
  const ended = await registrySql(transaction)
    .updateTable('tenant_exports')
    .set({
      status: 'succeeded',
      phase: 'finished',
      bucket,
      object_key: objectKey,
      rows,
      bytes,
      sha256,
      finished_at: now,
      updated_at: now,
    })
    .where('export_id', '=', exportId)
    .where('status', '=', 'running')
    .returning('export_id')
    .execute();
  if (ended.length === 0) return false;
  await recordAudit(transaction, {
    actor,
    action: 'export.finish',
    tenantId,
    resource: { type: 'export', id: exportId },
    data: { rows, bytes, sha256 },
  });
  return true;
}

export interface ExportEnd {
  readonly status: 'failed' | 'aborted';
  /** May be shown to a client. */
  readonly reason: string;
}

/** Ends a running export without success. Does nothing if it has ended already. @returns whether it was running. */
export async function endExport(
  transaction: RegistryExecutor,
  { exportId, tenantId }: Pick<ExportRecord, 'exportId' | 'tenantId'>,
  { status, reason }: ExportEnd,
  actor: AuditActor,
): Promise<boolean> {
  const ended = await registrySql(transaction)
    .updateTable('tenant_exports')
    .set({ status, reason, finished_at: now, updated_at: now })
    .where('export_id', '=', exportId)
    .where('status', '=', 'running')
    .returning('export_id')
    .execute();
  if (ended.length === 0) return false;
  await recordAudit(transaction, {
    actor,
    action: status === 'aborted' ? 'export.aborted' : 'export.fail',
    tenantId,
    resource: { type: 'export', id: exportId },
    data: { reason },
  });
  return true;
}

function toRecord(row: ExportRow): ExportRecord {
  return {
    exportId: row.export_id,
    tenantId: row.tenant_id,
    status: row.status,
    phase: row.phase,
    prefix: row.prefix,
    backupId: row.backup_id,
    executionArn: row.execution_arn,
    startedAt: row.started_at,
    ageSeconds: row.age_seconds,
  };
}
