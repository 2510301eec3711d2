import type { ApiEvent } from './api-event.ts';

export interface LocationNaming {
  readonly slug: string;
  /** Whether the request named its tenant by subdomain. */
  readonly bySubdomain: boolean;
  /** The domains under which `{slug}.domain` names a tenant. */
  readonly domains: readonly string[];
}

/**
 * The same request's URL at another region's API, path and query as they were received. Only the API decides about
 * the host: whatever the path holds, it stays a path.
 * @param apiUrl as the registry has it: `https://host[:port]`, or `https://*.domain`, where every tenant has its own.
 */
export function locationInRegion(
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

/** API Gateway hands the path over decoded; a header takes visible ASCII only, and what is encoded stays as it is. */
function visible(text: string): string {
  return text.toWellFormed().replace(/[^\x21-\x7e]/gu, encodeURIComponent);
}
