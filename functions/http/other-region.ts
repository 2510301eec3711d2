/**
 * Requests for tenants of other regions. This file is loaded by the first such request, so an installation of one region
 * never loads it.
 *
 *   `arriving`    a move is bringing the tenant here: the request waits until the tenant has arrived
 *   `elsewhere`   another region serves the tenant: the request is redirected there
 */
import { setTimeout as delay } from 'node:timers/promises';
import type { DirectoryEntry } from '../placement/directory-entry.ts';
import { TenantElsewhere, TenantUnavailable } from '../placement/errors.ts';
import type { TenantDirectory } from '../placement/tenant-directory.ts';
import type { ApiEvent } from './api-event.ts';
import { Problem } from './problem.ts';
import { readTenantNaming } from './tenant-naming.ts';

export interface ArrivalSettings {
  /** How long a request waits for a tenant that is arriving, in milliseconds; ten seconds by default. */
  readonly patienceMs?: number;
  /** Key of the region that the function runs in. */
  readonly regionKey?: string | undefined;
}

/**
 * Waits until the tenant has arrived in this region.
 * @returns undefined when the registry no longer has the tenant, or when its slug is only reserved for this region.
 * @throws {TenantElsewhere | TenantUnavailable}
 */
export async function servedHere(
  directory: TenantDirectory,
  known: DirectoryEntry,
  { patienceMs, regionKey }: ArrivalSettings,
): Promise<DirectoryEntry | undefined> {
  const entry = await awaitArrival(directory, known, patienceMs);
  if (entry?.status !== 'elsewhere') return entry;
  if (entry.homeRegion === regionKey) return undefined;
  throw new TenantElsewhere({ slug: entry.slug, region: entry.homeRegion });
}

/** Pauses between two look-ups, in milliseconds: the first, and the longest. */
const FIRST_PAUSE = 50;
const LONGEST_PAUSE = 1_000;

/**
 * @param patienceMs how long one request may wait.
 * @throws {TenantUnavailable} it has not arrived in time.
 */
async function awaitArrival(
  directory: TenantDirectory,
  entry: DirectoryEntry,
  patienceMs = 10_000,
): Promise<DirectoryEntry | undefined> {
  const deadline = performance.now() + patienceMs;
  let found: DirectoryEntry | undefined = entry;
  for (
    let longest = FIRST_PAUSE;
    found?.status === 'arriving';
    longest = Math.min(longest * 2, LONGEST_PAUSE)
  ) {
    // With jitter, so that the requests that wait for one move do not look it up at the same time.
    const pause = longest * (0.5 + Math.random() / 2);
    if (performance.now() + pause > deadline) {
      throw new TenantUnavailable('the tenant has not arrived yet', 2);
    }
    await delay(pause);
    found = await directory.refresh(entry.tenantId);
  }
  return found;
}

/**
 * The answer to a request whose tenant another region serves: 308, which keeps method and body. This
 * region has changed nothing: the error comes before the request's transaction commits.
 */
export async function redirection(
  error: TenantElsewhere,
  event: ApiEvent,
  { directory, domains }: { readonly directory: TenantDirectory; readonly domains: readonly string[] },
): Promise<Error> {
  try {
    const apiUrl = await directory.apiUrlOf(error.region);
    if (apiUrl === undefined) throw new Error(`the registry knows no API of region ${error.region}`);
    const { subdomain } = readTenantNaming(event.headers, event.requestContext.domainName, domains);
    const location = locationInRegion(apiUrl, event, {
      slug: error.slug,
      bySubdomain: subdomain !== undefined,
      domains,
    });
    return new Problem(308, 'tenant-in-another-region', {
      detail: 'The tenant is served by another region. Send the request to the Location.',
      headers: { location },
      cause: error,
    });
  } catch (cause) {
    return new TenantUnavailable('the region of the tenant is not known', 5, { cause });
  }
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

/** API Gateway passes the path decoded, but a header takes visible ASCII only. Encoded characters stay as they are. */
function visible(text: string): string {
  return text.toWellFormed().replace(/[^\x21-\x7e]/gu, encodeURIComponent);
}
