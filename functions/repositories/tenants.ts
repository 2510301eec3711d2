import { recordAudit } from '../database/registry/control-audit.ts';
import type { DataApi, RegistryExecutor, RegistryParameters } from '../database/registry/data-api.ts';
import { RegistryError } from '../database/registry/data-api.ts';
import {
  readFeatures,
  type TenantRecord,
  type TenantRow,
  tenantColumns,
  tenantSource,
  toTenantRecord,
} from '../database/registry/tenant-record.ts';
import { askRegions, type Regions } from './ask-region.ts';
import { requireDocumentSize } from './document-limit.ts';
import { requireMatch } from './entity-tag.ts';
import { ResourceConflict, TenantBetweenRegions, TenantNotFound } from './errors.ts';
import { mergeRows, type PageRequest, type Position, readCursor } from './keyset-page.ts';
import { mergePatch } from './merge-patch.ts';
import { isCut, pageOfBoundedRows, readBoundedRows } from './registry-page.ts';

export interface TenantFilter {
  readonly status?: string | undefined;
  readonly tier?: string | undefined;
  readonly dataResidency?: string | undefined;
  readonly q?: string | undefined;
}

/** What an operator may change of a tenant. `undefined` leaves a field as it is. */
export interface TenantChanges {
  readonly name?: string | undefined;
  readonly status?: 'active' | 'suspended' | undefined;
  readonly billingEmail?: string | null | undefined;
  readonly maxUsers?: number | null | undefined;
  readonly maxStorageGb?: number | null | undefined;
  readonly features?: Record<string, unknown> | null | undefined;
  readonly complianceRequirements?: string[] | undefined;
  readonly monthlyRevenue?: number | null | undefined;
}

/** Field, column and how the text of its parameter becomes the column's type. */
const COLUMNS: Readonly<Record<keyof TenantChanges, readonly [column: string, cast: string]>> = {
  name: ['tenant_name', ''],
  status: ['status', ''],
  billingEmail: ['billing_email', ''],
  maxUsers: ['max_users', '::integer'],
  maxStorageGb: ['max_storage_gb', '::integer'],
  features: ['features', '::jsonb'],
  complianceRequirements: ['compliance_requirements', '::jsonb'],
  monthlyRevenue: ['monthly_revenue', '::numeric'],
};
/** What features may be as JSON after a merge, in KB: a row of the Data API takes 64 KB. */
const MAX_FEATURES_KB = 16;
const UUID = /^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;
const PRECISE_TIME = `to_char(t.created_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') AS cursor_time`;

/**
 * One page of the tenants of all regions by creation; a residency is asked of its own region only.
 * @throws {InvalidCursor | RegionUnavailable}
 */
export async function listTenants(registries: Regions, filter: TenantFilter, page: PageRequest) {
  const position = page.cursor === undefined ? undefined : readCursor(page.cursor);
  const { dataResidency } = filter;
  const regions = registries.keys.filter((key) => dataResidency === undefined || dataResidency === key);
  // With one region its cells may have any residency; of several, none has one that is not a region's.
  const asked = registries.keys.length < 2 ? registries.keys : regions;
  const answers = await askRegions(registries, asked, (registry) =>
    readTenants(registry, filter, page, position),
  );
  const lists = answers.map((list, index) =>
    list.map((row) => ({
      ...row,
      registryKey: asked[index] as string,
      // Of the tenant as it is told, with the features that its row leaves out.
      row_bytes: row.row_bytes + (row.large_features_bytes ?? 0),
    })),
  );
  const positionOf = (row: ListedRow & { registryKey: string }) => ({
    time: row.cursor_time,
    id: row.tenant_id,
  });
  const rows = mergeRows(lists, positionOf);
  const { items, nextCursor } = pageOfBoundedRows(rows, page, positionOf, (row) => row, lists.some(isCut));
  const tenants = items.map((row) => complete(registries.of(row.registryKey), row));
  return { items: await Promise.all(tenants), nextCursor };
}

type ListedRow = TenantRow & { cursor_time: string };

async function readTenants(
  registry: RegistryExecutor,
  filter: TenantFilter,
  page: PageRequest,
  position: Position | undefined,
) {
  const where: string[] = ["t.status NOT IN ('elsewhere', 'arriving')"];
  const parameters: RegistryParameters = {};
  const equals = {
    status: filter.status,
    subscription_tier: filter.tier,
    data_residency: filter.dataResidency,
  };
  for (const [column, value] of Object.entries(equals)) {
    if (value === undefined) continue;
    where.push(`t.${column} = :${column}`);
    parameters[column] = value;
  }
  if (filter.q !== undefined) {
    where.push('(t.tenant_name ILIKE :pattern OR t.tenant_slug ILIKE :pattern)');
    parameters.pattern = `%${filter.q.replace(/[\\%_]/g, '\\$&')}%`;
  }
  if (position) {
    where.push('(t.created_at, t.tenant_id) > (:time::timestamptz, :id::uuid)');
    Object.assign(parameters, position);
  }
  const select = `SELECT ${tenantColumns}, ${PRECISE_TIME} FROM ${tenantSource}
    WHERE ${where.join(' AND ')}
    ORDER BY t.created_at, t.tenant_id LIMIT :rows::integer`;
  return readBoundedRows<ListedRow>(registry, { select, order: 'cursor_time, tenant_id', parameters }, page);
}

/** Of `tenants t`, for the parameter `reference`: an id or a slug. */
export function tenantCondition(reference: string): string {
  return UUID.test(reference) ? 't.tenant_id = :reference::uuid' : 't.tenant_slug = :reference';
}

/**
 * The tenant of an id or a slug, in the registry of its region.
 * @throws {TenantNotFound}
 * @throws {TenantBetweenRegions} it has left this registry since that was looked up, or has not arrived yet.
 */
export async function getTenant(
  registry: RegistryExecutor,
  reference: string,
  { lock = false }: { lock?: boolean } = {},
): Promise<TenantRecord> {
  const [row] = await registry.query<TenantRow>(
    `SELECT ${tenantColumns} FROM ${tenantSource} WHERE ${tenantCondition(reference)} ${lock ? 'FOR UPDATE OF t' : ''}`,
    { reference },
  );
  if (!row) throw new TenantNotFound(reference);
  if (row.status === 'elsewhere' || row.status === 'arriving') {
    throw new TenantBetweenRegions(`the tenant is ${row.status}`);
  }
  return complete(registry, row);
}

async function complete(registry: RegistryExecutor, row: TenantRow): Promise<TenantRecord> {
  const tenant = toTenantRecord(row);
  if (row.large_features_bytes === null) return tenant;
  return { ...tenant, features: await readFeatures(registry, tenant.tenantId) };
}

/** @throws {ResourceNotFound | VersionMismatch | ResourceConflict | DocumentTooLarge (features)} */
export async function updateTenant(
  registry: DataApi,
  reference: string,
  changes: TenantChanges,
  { actor, ifMatch }: { actor: string; ifMatch: string | undefined },
): Promise<TenantRecord> {
  const given = Object.entries(changes).filter(([, value]) => value !== undefined) as [
    keyof TenantChanges,
    unknown,
  ][];
  try {
    return await registry.transaction(async (transaction) => {
      const tenant = await getTenant(transaction, reference, { lock: true });
      requireMatch(ifMatch, tenant);
      if (given.length === 0) return tenant;
      if (changes.status && !['active', 'suspended'].includes(tenant.status)) {
        throw new ResourceConflict(
          `A tenant that is ${tenant.status} cannot become ${changes.status}.`,
          'status',
        );
      }
      // A document is merged, as every PATCH merges (RFC 7396).
      const features = changes.features && mergePatch(tenant.features, changes.features);
      requireDocumentSize('features', features, MAX_FEATURES_KB);
      const assignments = given.map(([field]) => `${COLUMNS[field][0]} = :${field}${COLUMNS[field][1]}`);
      await transaction.query(
        `UPDATE tenants SET ${assignments.join(', ')}, updated_at = now() WHERE tenant_id = :tenantId::uuid`,
        {
          ...Object.fromEntries(given.map(([field, value]) => [field, toParameter(value)])),
          ...(features ? { features: JSON.stringify(features) } : {}),
          tenantId: tenant.tenantId,
        },
      );
      await recordAudit(transaction, {
        actor: { id: actor, type: 'operator' },
        action: 'tenant.update',
        tenantId: tenant.tenantId,
        data: { fields: given.map(([field]) => field) },
      });
      return getTenant(transaction, tenant.tenantId);
    });
  } catch (error) {
    if (error instanceof RegistryError && error.sqlState === '23505') {
      throw new ResourceConflict('Another tenant has this name.', 'name', { cause: error });
    }
    throw error;
  }
}

function toParameter(value: unknown) {
  // Lists and documents travel as JSON text.
  return typeof value === 'object' && value !== null
    ? JSON.stringify(value)
    : (value as string | number | boolean | null);
}
