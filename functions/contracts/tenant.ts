/** What the customer bought. */
export type Tier = 'starter' | 'business' | 'enterprise';

/** How a tenant's rows are separated from other tenants' rows: in shared tables, in a schema, in a cluster. */
export type IsolationModel = 'shared' | 'schema' | 'dedicated';

const UUID = /^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;

/** A UUID as PostgreSQL writes it: lower case, with hyphens. */
export const isUuid = (text: string): boolean => UUID.test(text);

/**
 * `arriving`: a move from another region is bringing the tenant. `elsewhere`: another region serves it, and this
 * registry keeps only its id, slug and region.
 */
export type TenantStatus =
  | 'provisioning'
  | 'active'
  | 'suspended'
  | 'failed'
  | 'offboarding'
  | 'offboarded'
  | 'arriving'
  | 'elsewhere';

/** Statuses of tenants that have their data here and keep it: they are not being created or removed, nor elsewhere. */
export const IN_USE = ['active', 'suspended'] as const satisfies readonly TenantStatus[];

/** Statuses of all tenants that have data here. */
export const WITH_DATA: readonly TenantStatus[] = [...IN_USE, 'offboarding'];
