import { type InferResult, sql } from 'kysely';
import { ResourceNotFound } from '../resources/errors.ts';
import type { PageRequest } from '../resources/keyset-page.ts';
import { findInRegions, type Regions } from './ask-region.ts';
import type { RegistryExecutor } from './data-api.ts';
import { columnValue, now, rfc3339 } from './registry-expressions.ts';
import { pageOfRegions, startedList } from './registry-page.ts';
import { compilingOnly, type RegistrySql, registrySql } from './registry-sql.ts';

/** An export as the API shows it. */
export interface ExportView {
  readonly exportId: string;
  readonly tenantId: string;
  /** Key of the region whose bucket has it. */
  readonly region: string;
  readonly status: 'running' | 'succeeded' | 'failed' | 'aborted';
  readonly phase: string;
  readonly reason: string | null;
  /** What is written so far; a part is a range of a table's rows. All 0 until the backup is made. */
  readonly progress: {
    readonly partsDone: number;
    readonly partsTotal: number;
    readonly rowsDone: number;
    /** Of the text, before compression. */
    readonly bytesDone: number;
  };
  /** The backup that it is made of; null until that is decided. */
  readonly backupId: string | null;
  /** null until it has succeeded, like `bytes` and `sha256`. */
  readonly rows: number | null;
  /** Of the archive. */
  readonly bytes: number | null;
  /** Of the archive, hexadecimal. */
  readonly sha256: string | null;
  readonly executionArn: string | null;
  readonly startedBy: string;
  readonly startedAt: string;
  /** The moment whose data it holds. */
  readonly snapshotAt: string | null;
  readonly finishedAt: string | null;
  readonly expiresAt: string;
}

/** Where the archive of an export that has succeeded is. */
export interface StoredArchive {
  readonly bucket: string;
  readonly key: string;
}

/** Those that have not expired, whether their rows exist still or not. */
const selectExports = (db: RegistrySql) =>
  db
    .selectFrom('tenant_exports as e')
    .select(['e.export_id', 'e.tenant_id', 'e.region', 'e.status', 'e.phase', 'e.reason', 'e.backup_id'])
    .select(['e.rows', 'e.bytes', 'e.sha256', 'e.execution_arn', 'e.started_by', 'e.bucket', 'e.object_key'])
    .select((eb) => [
      eb
        .selectFrom('tenant_export_parts as p')
        .select(
          sql<string>`cast(jsonb_build_object(
            'partsDone', count(*), 'partsTotal', coalesce(${eb.ref('e.parts_total')}, 0),
            'rowsDone', coalesce(sum(p.rows), 0),
            'bytesDone', coalesce(sum(cast(p.csv ->> 'bytes' as bigint) + cast(p.sql ->> 'bytes' as bigint)), 0))
            as text)`.as('progress'),
        )
        .whereRef('p.export_id', '=', 'e.export_id')
        .$asScalar()
        .$notNull()
        .as('progress'),
      rfc3339(eb.ref('e.started_at')).as('started_at'),
      rfc3339(eb.ref('e.snapshot_at')).as('snapshot_at'),
      rfc3339(eb.ref('e.finished_at')).as('finished_at'),
      rfc3339(eb.ref('e.expires_at')).as('expires_at'),
    ])
    .where('e.expires_at', '>', now);

type ExportRow = InferResult<ReturnType<typeof selectExports>>[number];

/**
 * One page of a tenant's exports, oldest first. An export stays in the region where it was made, also when the tenant
 * has moved to another one.
 * @throws {InvalidCursor | RegionUnavailable}
 */
export async function listExports(registries: Regions, tenantId: string, page: PageRequest) {
  const exports = selectExports(compilingOnly).where('e.tenant_id', '=', tenantId);
  const list = startedList(exports, { alias: 'e', table: 'tenant_exports', id: 'export_id' }, page);
  return pageOfRegions(registries, list, page, toView);
}

/** An export of one region's registry. @throws {ResourceNotFound} also for an expired one. */
export async function getExport(
  registry: RegistryExecutor,
  tenantId: string,
  exportId: string,
): Promise<ExportView> {
  const row = await readExport(registry, tenantId, exportId);
  if (!row) throw new ResourceNotFound('no such export');
  return toView(row);
}

/** How many exports of the tenant one region's registry has recorded since a time, RFC 3339. */
export async function countExports(
  registry: RegistryExecutor,
  tenantId: string,
  since: string,
): Promise<number> {
  const { count } = await registrySql(registry)
    .selectFrom('tenant_exports')
    .select((eb) => eb.fn.countAll<number>().as('count'))
    .where('tenant_id', '=', tenantId)
    .where('started_at', '>=', columnValue('tenant_exports.started_at', since))
    .executeTakeFirstOrThrow();
  return count;
}

/**
 * The tenant's export, of its own region or of one where it was before, with the place of its archive once there is one.
 * @throws {ResourceNotFound | RegionUnavailable}
 */
export async function findExportOfRegions(
  registries: Regions,
  { region, tenantId }: { region: string; tenantId: string },
  exportId: string,
): Promise<{ readonly view: ExportView; readonly archive: StoredArchive | undefined }> {
  const stored = await findInRegions(registries, region, (registry) =>
    readExport(registry, tenantId, exportId),
  );
  if (!stored) throw new ResourceNotFound('no such export');
  const row = stored.found;
  const { status, bucket, object_key: key } = row;
  const archive = status === 'succeeded' && bucket !== null && key !== null ? { bucket, key } : undefined;
  return { view: toView(row), archive };
}

function readExport(
  registry: RegistryExecutor,
  tenantId: string,
  exportId: string,
): Promise<ExportRow | undefined> {
  return selectExports(registrySql(registry))
    .where('e.tenant_id', '=', tenantId)
    .where('e.export_id', '=', exportId)
    .executeTakeFirst();
}

function toView(row: ExportRow): ExportView {
  return {
    exportId: row.export_id,
    tenantId: row.tenant_id,
    region: row.region,
    status: row.status,
    phase: row.phase,
    reason: row.reason,
    progress: JSON.parse(row.progress) as ExportView['progress'],
    backupId: row.backup_id,
    rows: row.rows,
    bytes: row.bytes,
    sha256: row.sha256,
    executionArn: row.execution_arn,
    startedBy: row.started_by,
    startedAt: row.started_at,
    snapshotAt: row.snapshot_at,
    finishedAt: row.finished_at,
    expiresAt: row.expires_at,
  };
}
