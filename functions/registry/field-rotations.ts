import type { InferResult } from 'kysely';
import { ResourceNotFound } from '../resources/errors.ts';
import type { PageRequest } from '../resources/keyset-page.ts';
import { findInRegions, type Regions } from './ask-region.ts';
import type { RegistryExecutor } from './data-api.ts';
import { rfc3339 } from './registry-expressions.ts';
import { pageOfRegions, startedList } from './registry-page.ts';
import { compilingOnly, type RegistrySql, registrySql } from './registry-sql.ts';

/** Why fields are encrypted again: under another KMS key, because data keys are old, or because an operator asked. */
export type RotationCause = 'key' | 'age' | 'request';

/** A rotation as the API shows it. */
export interface RotationView {
  readonly rotationId: string;
  readonly tenantId: string;
  /** Key of the region that did it. */
  readonly region: string;
  readonly cause: RotationCause;
  readonly status: 'running' | 'succeeded' | 'failed';
  readonly reason: string | null;
  /** The KMS key that values get; null until the work begins. */
  readonly keyArn: string | null;
  /** Values that were encrypted again so far. */
  readonly valuesDone: number;
  /** Values that could not be opened, and were left as they are. */
  readonly valuesDamaged: number;
  readonly startedBy: string;
  readonly startedAt: string;
  readonly finishedAt: string | null;
}

const selectRotations = (db: RegistrySql) =>
  db
    .selectFrom('field_rotations as f')
    .select(['f.rotation_id', 'f.tenant_id', 'f.region', 'f.cause', 'f.status', 'f.reason', 'f.key_arn'])
    .select(['f.values_done', 'f.values_damaged', 'f.started_by'])
    .select((eb) => [
      rfc3339(eb.ref('f.started_at')).as('started_at'),
      rfc3339(eb.ref('f.finished_at')).as('finished_at'),
    ]);

type RotationRow = InferResult<ReturnType<typeof selectRotations>>[number];

/** One page of a tenant's rotations, oldest first, in whatever region they were. @throws {InvalidCursor | RegionUnavailable} */
export async function listRotations(registries: Regions, tenantId: string, page: PageRequest) {
  const rotations = selectRotations(compilingOnly).where('f.tenant_id', '=', tenantId);
  const list = startedList(rotations, { alias: 'f', table: 'field_rotations', id: 'rotation_id' }, page);
  return pageOfRegions(registries, list, page, toView);
}

/** A rotation of one region's registry. @throws {ResourceNotFound} */
export async function getRotation(
  registry: RegistryExecutor,
  tenantId: string,
  rotationId: string,
): Promise<RotationView> {
  const row = await readRotation(registry, tenantId, rotationId);
  if (!row) throw new ResourceNotFound('no such rotation');
  return toView(row);
}

/** The tenant's rotation, of its own region or of one where it was before. @throws {ResourceNotFound | RegionUnavailable} */
export async function findRotationOfRegions(
  registries: Regions,
  { region, tenantId }: { readonly region: string; readonly tenantId: string },
  rotationId: string,
): Promise<RotationView> {
  const stored = await findInRegions(registries, region, (registry) =>
    readRotation(registry, tenantId, rotationId),
  );
  if (!stored) throw new ResourceNotFound('no such rotation');
  return toView(stored.found);
}

function readRotation(
  registry: RegistryExecutor,
  tenantId: string,
  rotationId: string,
): Promise<RotationRow | undefined> {
  return selectRotations(registrySql(registry))
    .where('f.tenant_id', '=', tenantId)
    .where('f.rotation_id', '=', rotationId)
    .executeTakeFirst();
}

function toView(row: RotationRow): RotationView {
  return {
    rotationId: row.rotation_id,
    tenantId: row.tenant_id,
    region: row.region,
    cause: row.cause,
    status: row.status,
    reason: row.reason,
    keyArn: row.key_arn,
    valuesDone: row.values_done,
    valuesDamaged: row.values_damaged,
    startedBy: row.started_by,
    startedAt: row.started_at,
    finishedAt: row.finished_at,
  };
}
