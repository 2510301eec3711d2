/** The request names no tenant, and its token is not bound to one. */
export class TenantNotNamed extends Error {
  override name = 'TenantNotNamed';
}

/** The token, the `X-Tenant-ID` header and the subdomain do not name one and the same tenant. */
export class TenantMismatch extends Error {
  override name = 'TenantMismatch';
}

/** No such tenant. Only operators get this answer: a tenant's user must not learn which other tenants exist. */
export class TenantUnknown extends Error {
  override name = 'TenantUnknown';
  /** As the operator wrote it. */
  readonly reference: string;
  constructor(reference: string) {
    super('the tenant is not known');
    this.reference = reference;
  }
}

/** The token's user is not an active member of the tenant. */
export class NotAMember extends Error {
  override name = 'NotAMember';
}

/** The tenant exists but takes no requests in its present status. */
export class TenantNotServing extends Error {
  override name = 'TenantNotServing';
  readonly status: string;
  constructor(status: string) {
    super(`the tenant is ${status}`);
    this.status = status;
  }
}
