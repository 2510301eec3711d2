import type { MiddlewareObj } from '@middy/core';
import type { APIGatewayProxyStructuredResultV2 } from 'aws-lambda';
import { TenantElsewhere, TenantUnavailable } from '../placement/errors.ts';
import type { ApiEvent } from './api-event.ts';
import { Problem } from './problem.ts';
import { type ResolutionDependencies, readTenantNaming, type TenantContext } from './resolve-tenant.ts';

/**
 * Sends a request whose tenant another region serves to that region's API: 308, which keeps method and body. This
 * region has changed nothing: the error comes before the request's transaction commits.
 */
export function redirectElsewhere(
  dependencies: () => ResolutionDependencies,
): MiddlewareObj<ApiEvent, APIGatewayProxyStructuredResultV2, Error, TenantContext> {
  return {
    onError: async (request) => {
      const { error, event } = request;
      if (!(error instanceof TenantElsewhere)) return;
      const { directory, domains } = dependencies();
      try {
        const apiUrl = await directory.apiUrlOf(error.region);
        if (apiUrl === undefined) throw new Error(`the registry knows no API of region ${error.region}`);
        const { subdomain } = readTenantNaming(event.headers, event.requestContext.domainName, domains);
        const location = locationElsewhere(apiUrl, event, {
          slug: error.slug,
          bySubdomain: subdomain !== undefined,
          domains,
        });
        request.error = new Problem(308, 'tenant-in-another-region', {
          detail: 'The tenant is served by another region. Send the request to the Location.',
          headers: { location },
          cause: error,
        });
      } catch (cause) {
        request.error = new TenantUnavailable('the region of the tenant is not known', 5, { cause });
      }
    },
  };
}

export interface LocationNaming {
  readonly slug: string;
  /** True when the request named its tenant by subdomain. */
  readonly bySubdomain: boolean;
  /** The domains under which `{slug}.domain` names a tenant. */
  readonly domains: readonly string[];
}

/**
 * The URL of the same request at another region's API, with path and query as received. Only `apiUrl` sets the host: no
 * content of the path can change it.
 * @param apiUrl from the registry: `https://host[:port]`, or `https://*.domain` when every tenant has its own host.
 */
export function locationElsewhere(
  apiUrl: string,
  { rawPath, rawQueryString }: Pick<ApiEvent, 'rawPath' | 'rawQueryString'>,
  { slug, bySubdomain, domains }: LocationNaming,
): string {
  const path = rawPath.startsWith('/') ? rawPath : `/${rawPath}`;
  const query = rawQueryString ? `?${visible(rawQueryString)}` : '';
  return `${originOf(apiUrl, { slug, bySubdomain, domains })}${visible(path).replace(/[?#]/g, encodeURIComponent)}${query}`;
}

function originOf(apiUrl: string, { slug, bySubdomain, domains }: LocationNaming): string {
  const [, scheme, authority] = /^(https?:\/\/)([^/?#]+)/.exec(apiUrl) ?? [];
  if (!scheme || !authority) throw new Error('the URL of a region is not one of an API');
  if (authority.startsWith('*.')) return `${scheme}${slug}${authority.slice(1)}`;
  const hasSubdomains = domains.includes(authority.replace(/:\d+$/, ''));
  return bySubdomain && hasSubdomains ? `${scheme}${slug}.${authority}` : `${scheme}${authority}`;
}

/** API Gateway passes the path decoded, but a header takes visible ASCII only. Encoded characters stay as they are. */
function visible(text: string): string {
  return text.toWellFormed().replace(/[^\x21-\x7e]/gu, encodeURIComponent);
}
