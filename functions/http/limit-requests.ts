import type { MiddlewareObj } from '@middy/core';
import type { APIGatewayProxyStructuredResultV2 } from 'aws-lambda';
import type { ApiEvent } from './api-event.ts';
import { Problem } from './problem.ts';
import type { TenantContext } from './resolve-tenant.ts';

/**
 * Refuses requests of a tenant's users beyond the tenant's rate with 429. Operators are not limited: they must be able to
 * look after a tenant that is.
 */
export function limitRequests(): MiddlewareObj<
  ApiEvent,
  APIGatewayProxyStructuredResultV2,
  Error,
  TenantContext
> {
  return {
    before: async ({ context }) => {
      const { tenant, actor, limits } = context;
      if (!limits || actor.kind === 'operator') return;
      const { takeToken, limitHeaders } = await import('./request-limit.ts');
      const bucket = await takeToken(limits.server, tenant.tenantId, limits.limit);
      if (!bucket) return;
      context.answerHeaders = limitHeaders(limits.limit, bucket);
      if (bucket.isAllowed) return;
      throw new Problem(429, 'too-many-requests', {
        detail: `The tenant may send ${limits.limit.rate} requests per second, and ${limits.limit.burst} at once.`,
        headers: { 'retry-after': String(Math.max(1, Math.ceil(bucket.nextInMs / 1000))) },
      });
    },
  };
}
