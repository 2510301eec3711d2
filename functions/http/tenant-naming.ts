/** How a request names its tenant, besides the token. */
export interface TenantNaming {
  /** `X-Tenant-ID`: a tenant's id or slug, lower-cased. */
  readonly header: string | undefined;
  /** The label in front of one of the platform's domains, lower-cased. */
  readonly subdomain: string | undefined;
}

/**
 * Reads the header and the subdomain of a request.
 * @param domains the domains under which `{slug}.domain` names a tenant; any other host names none.
 */
export function readTenantNaming(
  headers: Readonly<Record<string, string | undefined>>,
  host: string | undefined,
  domains: readonly string[],
): TenantNaming {
  return {
    header: headers['x-tenant-id']?.trim().toLowerCase() || undefined,
    subdomain: host === undefined ? undefined : subdomainOf(host, domains),
  };
}

/** True when neither the header nor the subdomain names another tenant. */
export function namingAgrees(naming: TenantNaming, tenant: { tenantId: string; slug: string }): boolean {
  const { header, subdomain } = naming;
  if (header !== undefined && header !== tenant.tenantId && header !== tenant.slug) return false;
  return subdomain === undefined || subdomain === tenant.slug;
}

function subdomainOf(host: string, domains: readonly string[]): string | undefined {
  const name = host.toLowerCase().replace(/:\d+$/, '').replace(/\.$/, '');
  for (const domain of domains) {
    if (name.endsWith(`.${domain}`)) return name.slice(0, -domain.length - 1);
  }
  return undefined;
}
