import { recordAudit } from '../database/registry/control-audit.ts';
import type { DataApi, RegistryExecutor, RegistryParameters } from '../database/registry/data-api.ts';
import { RegistryError } from '../database/registry/data-api.ts';
import {
  type TenantRecord,
  type TenantRow,
  tenantColumns,
  tenantSource,
  toTenantRecord,
} from '../database/registry/tenant-record.ts';
import { requireMatch } from './entity-tag.ts';
import { ResourceConflict, ResourceNotFound } from './errors.ts';
import { type PageRequest, pageOfRows, readCursor } from './keyset-page.ts';
import { mergePatch } from './merge-patch.ts';

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
const UUID = /^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;
const PRECISE_TIME = `to_char(t.created_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') AS cursor_time`;

/** One page of tenants by creation. @throws {InvalidCursor} */
export async function listTenants(registry: RegistryExecutor, filter: TenantFilter, page: PageRequest) {
  const where: string[] = [];
  const parameters: RegistryParameters = { rows: page.limit + 1 };
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
  if (page.cursor !== undefined) {
    const { time, id } = readCursor(page.cursor);
    where.push('(t.created_at, t.tenant_id) > (:time::timestamptz, :id::uuid)');
    Object.assign(parameters, { time, id });
  }
  const rows = await registry.query<TenantRow & { cursor_time: string }>(
    `SELECT ${tenantColumns}, ${PRECISE_TIME} FROM ${tenantSource}
     ${where.length > 0 ? `WHERE ${where.join(' AND ')}` : ''}
     ORDER BY t.created_at, t.tenant_id LIMIT :rows::integer`,
    parameters,
  );
  const positionOf = (row: (typeof rows)[number]) => ({ time: row.cursor_time, id: row.tenant_id });
  return pageOfRows(rows, page.limit, positionOf, toTenantRecord);
}

/** The tenant of an id or a slug. @throws {ResourceNotFound} */
export async function getTenant(
  registry: RegistryExecutor,
  reference: string,
  { lock = false }: { lock?: boolean } = {},
): Promise<TenantRecord> {
  const where = UUID.test(reference) ? 't.tenant_id = :reference::uuid' : 't.tenant_slug = :reference';
  const [row] = await registry.query<TenantRow>(
    `SELECT ${tenantColumns} FROM ${tenantSource} WHERE ${where} ${lock ? 'FOR UPDATE OF t' : ''}`,
    { reference },
  );
  if (!row) throw new ResourceNotFound('no such tenant');
  return toTenantRecord(row);
}

/** @throws {ResourceNotFound | VersionMismatch | ResourceConflict} */
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
      const assignments = given.map(([field]) => `${COLUMNS[field][0]} = :${field}${COLUMNS[field][1]}`);
      await transaction.query(
        `UPDATE tenants SET ${assignments.join(', ')}, updated_at = now() WHERE tenant_id = :tenantId::uuid`,
        {
          ...Object.fromEntries(given.map(([field, value]) => [field, toParameter(value)])),
          // A document is merged, as every PATCH merges (RFC 7396).
          ...(changes.features
            ? { features: JSON.stringify(mergePatch(tenant.features, changes.features)) }
            : {}),
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
