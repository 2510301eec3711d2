import middy from '@middy/core';
import type { APIGatewayProxyStructuredResultV2, Context } from 'aws-lambda';
import { logger } from '../aws/logger.ts';
import { actInRegion } from '../registry/ask-region.ts';
import type { ControlIdempotencyUse } from '../registry/control-idempotency.ts';
import type { DataApi } from '../registry/data-api.ts';
import { RegionalRegistries } from '../registry/regional-registries.ts';
import { whereTenantIs } from '../registry/where-tenant-is.ts';
import { type Answer, toHttp } from './answer.ts';
import { type ApiEvent, idempotencyKeyOf, type RequestFacts, readCaller, requestFacts } from './api-event.ts';
import { Problem } from './problem.ts';
import { answerProblems } from './problem-mapping.ts';
import { logRequests } from './request-log.ts';
import { type InputSchemas, readRequest } from './validated-input.ts';

/** The request of an operator's route: validated input, the registry, and the operator. */
export interface OperatorRequest<Params, Query, Body> {
  readonly params: Params;
  readonly query: Query;
  readonly body: Body;
  /** The registry of the region of the tenant in the path; the home registry when the path names no tenant. */
  readonly registry: DataApi;
  readonly region: OperatorRegion;
  /** The registries of all regions. */
  readonly registries: RegionalRegistries;
  /** The operator's address or subject, as the audit log names them. */
  readonly operator: string;
  readonly facts: RequestFacts;
}

/** The region that a request is about. */
export interface OperatorRegion {
  readonly key: string;
  /** Such as `eu-west-1`; undefined when it is the function's own. */
  readonly awsRegion: string | undefined;
}

type AnyRequest = OperatorRequest<never, never, never>;

export interface OperatorRoute {
  readonly schemas: InputSchemas<unknown, unknown, unknown>;
  readonly handle: (request: AnyRequest) => Promise<Answer>;
}

/** Ties a route's handler to the types of its schemas. */
export function operatorRoute<Params, Query, Body>(
  schemas: InputSchemas<Params, Query, Body>,
  handle: (request: OperatorRequest<Params, Query, Body>) => Promise<Answer>,
): OperatorRoute {
  return { schemas, handle: handle as OperatorRoute['handle'] };
}

/**
 * The `Idempotency-Key` of an operator's POST, if it has one.
 * @throws {Problem} 400 for a key that is too long to store.
 */
export function controlIdempotencyOf(
  facts: RequestFacts,
  operator: string,
  body: unknown,
): ControlIdempotencyUse | undefined {
  const key = idempotencyKeyOf(facts);
  return key === undefined ? undefined : { key, actor: operator, path: facts.path, body };
}

let registries: RegionalRegistries | undefined;

/**
 * The middleware chain of the control plane's functions. API Gateway has checked the scope; the chain checks it again.
 */
export function operatorApi<RouteKey extends string>(routes: Readonly<Record<RouteKey, OperatorRoute>>) {
  const table = new Map<string, OperatorRoute>(Object.entries(routes));
  return middy<ApiEvent, APIGatewayProxyStructuredResultV2, Error, Context>()
    .use(logRequests())
    .use(answerProblems(logger))
    .handler(async (event) => {
      const caller = readCaller(event.requestContext.authorizer.jwt.claims);
      if (caller?.kind !== 'operator')
        throw new Problem(403, 'operators-only', { detail: 'Only operators may do this.' });
      const route = table.get(event.routeKey);
      if (!route) throw new Problem(404, 'not-found', { detail: 'There is no such resource.' });
      registries ??= RegionalRegistries.fromEnvironment();
      const input = readRequest(route.schemas, event);
      const known = registries;
      const facts = requestFacts(event);
      const work = (key: string) => {
        const request = {
          ...input,
          registry: known.of(key),
          region: operatorRegion(known, key),
          registries: known,
          operator: caller.email ?? caller.subject,
          facts,
        };
        return actInRegion(known, key, () => route.handle(request as AnyRequest));
      };
      return toHttp(await inItsRegion(input.params, known, work, facts.method === 'GET'), facts);
    });
}

/** The only code that looks up which region's registry has the tenant. */
function inItsRegion(
  params: unknown,
  known: RegionalRegistries,
  work: (key: string) => Promise<Answer>,
  isRead: boolean,
): Promise<Answer> {
  const { tenantId } = params as { tenantId?: string };
  if (tenantId === undefined || known.keys.length < 2) return work(known.ownKey);
  return whereTenantIs(known, tenantId, work, { isRead });
}

export function operatorRegion(registries: RegionalRegistries, key: string): OperatorRegion {
  return { key, awsRegion: key === registries.ownKey ? undefined : registries.awsRegionOf(key) };
}
