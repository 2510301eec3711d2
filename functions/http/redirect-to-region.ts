import type { MiddlewareObj } from '@middy/core';
import type { APIGatewayProxyStructuredResultV2 } from 'aws-lambda';
import { TenantElsewhere, TenantUnavailable } from '../placement/errors.ts';
import type { ApiEvent } from './api-event.ts';
import { locationInRegion } from './location-in-region.ts';
import { Problem } from './problem.ts';
import type { ResolutionDependencies } from './resolve-tenant.ts';
import type { TenantContext } from './tenant-context.ts';
import { readTenantNaming } from './tenant-naming.ts';

/**
 * Sends a request whose tenant another region serves to that region's API: 308, which keeps method and body. Nothing
 * of the request has been done here, for the error comes before its transaction is committed.
 */
export function redirectToRegion(
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
        const location = locationInRegion(apiUrl, event, {
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
