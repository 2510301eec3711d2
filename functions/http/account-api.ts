import middy from '@middy/core';
import type { APIGatewayProxyStructuredResultV2, Context } from 'aws-lambda';
import { logger } from '../aws/logger.ts';
import { type Answer, toHttp } from './answer.ts';
import { type Account, type ApiEvent, type RequestFacts, readAccount, requestFacts } from './api-event.ts';
import { NotAMember } from './errors.ts';
import { Problem } from './problem.ts';
import { answerProblems } from './problem-mapping.ts';
import { logRequests } from './request-log.ts';
import type { TenantRoute } from './tenant-api.ts';
import { type InputSchemas, readRequest } from './validated-input.ts';

/** A request about the person who has signed in, not about a tenant: the token need not name one. */
export interface AccountRequest<Params, Query, Body> {
  readonly params: Params;
  readonly query: Query;
  readonly body: Body;
  readonly account: Account;
  readonly facts: RequestFacts;
}

/** Ties a route's handler to the types of its schemas. Every role may call it. */
export function accountRoute<Params, Query, Body>(
  schemas: InputSchemas<Params, Query, Body>,
  handle: (request: AccountRequest<Params, Query, Body>) => Promise<Answer>,
): TenantRoute {
  return { access: 'viewer', schemas, handle: handle as unknown as TenantRoute['handle'] };
}

/** The middleware chain of routes that `accountRoute` has made. It reaches no tenant's data. */
export function accountApi(routes: Readonly<Record<string, TenantRoute>>) {
  const table = new Map(Object.entries(routes));
  return middy<ApiEvent, APIGatewayProxyStructuredResultV2, Error, Context>()
    .use(logRequests())
    .use(answerProblems(logger))
    .handler(async (event) => {
      const account = readAccount(event.requestContext.authorizer.jwt.claims);
      if (!account) throw new NotAMember('the token has no confirmed address');
      const route = table.get(event.routeKey);
      if (!route) throw new Problem(404, 'not-found', { detail: 'There is no such resource.' });
      const facts = requestFacts(event);
      const request = { ...readRequest(route.schemas, event), account, facts };
      return toHttp(await route.handle(request as never), facts);
    });
}
