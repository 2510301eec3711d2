import type { InferResult } from 'kysely';
import { ResourceNotFound } from '../resources/errors.ts';
import type { PageRequest } from '../resources/keyset-page.ts';
import { askRegions, type Regions } from './ask-region.ts';
import type { RegistryExecutor } from './data-api.ts';
import { rfc3339 } from './registry-expressions.ts';
import { pageOfRegions, startedList } from './registry-page.ts';
import { compilingOnly, type RegistrySql, registrySql } from './registry-sql.ts';

/**
 * `tenant`: the login role of a tenant with a schema or a database of its own; `starter`: the role of all Starter tenants
 * of a cell; `owner`: the role that owns the schemas of a cell, or of a dedicated database; `registry`: the roles of the
 * region's registry.
 */
export type CredentialKind = 'tenant' | 'starter' | 'owner' | 'registry';

/** A rotation of database credentials as the API shows it. */
export interface CredentialRotationView {
  readonly credentialRotationId: string;
  readonly kind: CredentialKind;
  /** Key of the region. */
  readonly region: string;
  readonly tenantId: string | null;
  readonly cellId: string | null;
  readonly roleName: string;
  /** The old password and its sessions end at once. */
  readonly now: boolean;
  readonly status: 'running' | 'succeeded' | 'failed' | 'aborted';
  readonly phase: string;
  readonly reason: string | null;
  readonly executionArn: string | null;
  readonly startedBy: string;
  readonly startedAt: string;
  readonly finishedAt: string | null;
}

const selectRotations = (db: RegistrySql) =>
  db
    .selectFrom('credential_rotations as c')
    .select(['c.rotation_id', 'c.kind', 'c.region', 'c.tenant_id', 'c.cell_id', 'c.role_name'])
    .select(['c.is_immediate', 'c.status', 'c.phase', 'c.reason', 'c.execution_arn', 'c.started_by'])
    .select((eb) => [
      rfc3339(eb.ref('c.started_at')).as('started_at'),
      rfc3339(eb.ref('c.finished_at')).as('finished_at'),
    ]);

type RotationRow = InferResult<ReturnType<typeof selectRotations>>[number];

/** One page of the rotations of all regions, oldest first. @throws {InvalidCursor | RegionUnavailable} */
export async function listCredentialRotations(registries: Regions, page: PageRequest) {
  const order = { alias: 'c', table: 'credential_rotations', id: 'rotation_id' } as const;
  return pageOfRegions(registries, startedList(selectRotations(compilingOnly), order, page), page, toView);
}

/** From the region that has its record. @throws {ResourceNotFound | RegionUnavailable} */
export async function findCredentialRotation(
  registries: Regions,
  rotationId: string,
): Promise<CredentialRotationView> {
  const found = await askRegions(registries, registries.keys, (registry) => read(registry, rotationId));
  const row = found.find((each) => each !== undefined);
  if (!row) throw new ResourceNotFound('no such rotation');
  return toView(row);
}

/** @throws {ResourceNotFound} */
export async function getCredentialRotation(
  registry: RegistryExecutor,
  rotationId: string,
): Promise<CredentialRotationView> {
  const row = await read(registry, rotationId);
  if (!row) throw new ResourceNotFound('no such rotation');
  return toView(row);
}

/**
 * Whether credentials of the tenant are being replaced: those of its role, or of the owner of its dedicated database.
 * @param cellIds true also for the owner of one of these cells.
 */
export async function areCredentialsRotating(
  registry: RegistryExecutor,
  tenantId: string,
  cellIds: readonly (string | null | undefined)[] = [],
): Promise<boolean> {
  const cells = cellIds.filter((cellId) => cellId != null);
  const running = await registrySql(registry)
    .selectFrom('credential_rotations as c')
    .select('c.rotation_id')
    .where('c.status', '=', 'running')
    .where((eb) =>
      eb.or([
        eb('c.tenant_id', '=', tenantId),
        ...(cells.length > 0 ? [eb.and([eb('c.kind', '=', 'owner'), eb('c.cell_id', 'in', cells)])] : []),
      ]),
    )
    .limit(1)
    .executeTakeFirst();
  return running !== undefined;
}

function read(registry: RegistryExecutor, rotationId: string): Promise<RotationRow | undefined> {
  return selectRotations(registrySql(registry)).where('c.rotation_id', '=', rotationId).executeTakeFirst();
}

function toView(row: RotationRow): CredentialRotationView {
  return {
    credentialRotationId: row.rotation_id,
    kind: row.kind,
    region: row.region,
    tenantId: row.tenant_id,
    cellId: row.cell_id,
    roleName: row.role_name,
    now: row.is_immediate,
    status: row.status,
    phase: row.phase,
    reason: row.reason,
    executionArn: row.execution_arn,
    startedBy: row.started_by,
    startedAt: row.started_at,
    finishedAt: row.finished_at,
  };
}
