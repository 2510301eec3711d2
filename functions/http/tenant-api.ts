import middy from '@middy/core';
import type { APIGatewayProxyStructuredResultV2 } from 'aws-lambda';
import { logger } from '../aws/logger.ts';
import { type CommonEnvironment, type TenantApiEnvironment, variable } from '../contracts/environments.ts';
import { ALERTS } from '../contracts/names.ts';
import { CredentialStore } from '../database/session/credentials.ts';
import { DatabasePools } from '../database/session/pools.ts';
import { type MemberRole, TenantDirectory } from '../placement/tenant-directory.ts';
import { TenantRouter } from '../placement/tenant-router.ts';
import { registryFromEnvironment } from '../registry/data-api.ts';
import { auditInsert } from '../tenant-data/audit-log.ts';
import type { CachePool } from '../tenant-data/cache-pool.ts';
import { type Answer, logRequests, toHttp } from './answer.ts';
import { type ApiEvent, type RequestFacts, requestFacts } from './api-event.ts';
import { limitRequests } from './limit-requests.ts';
import { Problem } from './problem.ts';
import { answerProblems, toProblem } from './problem-mapping.ts';
import type { RefusedRequest } from './refused-requests.ts';
import { type ResolutionDependencies, resolveTenant, type TenantContext } from './resolve-tenant.ts';
import { type InputSchemas, readRequest } from './validated-input.ts';

/** The request of a data-plane route: validated input, the tenant, and the actor. */
export interface TenantRequest<Params, Query, Body> {
  readonly params: Params;
  readonly query: Query;
  readonly body: Body;
  readonly tenant: TenantContext['tenant'];
  readonly actor: TenantContext['actor'];
  readonly facts: RequestFacts;
}

type AnyRequest = TenantRequest<never, never, never>;

/** One route: the lowest role that may call it, its input, and its code. */
export interface TenantRoute {
  readonly access: MemberRole;
  readonly schemas: InputSchemas<unknown, unknown, unknown>;
  readonly handle: (request: AnyRequest) => Promise<Answer>;
  /** What the audit log calls the resource, such as `team_member`. */
  readonly resourceType?: string;
}

/** Ties a route's handler to the types of its schemas. */
export function tenantRoute<Params, Query, Body>(
  access: MemberRole,
  schemas: InputSchemas<Params, Query, Body>,
  handle: (request: TenantRequest<Params, Query, Body>) => Promise<Answer>,
): TenantRoute {
  return { access, schemas, handle: handle as TenantRoute['handle'] };
}

/** The middleware chain of the data plane's functions. `routes` has an entry for each route key. */
export function tenantApi<RouteKey extends string>(
  routes: Readonly<Record<RouteKey, TenantRoute>>,
  runtime: () => ResolutionDependencies = dataPlaneRuntime,
) {
  const table = new Map<string, TenantRoute>(Object.entries(routes));
  return middy<ApiEvent, APIGatewayProxyStructuredResultV2, Error, TenantContext>()
    .use(logRequests(logger))
    .use(answerProblems(logger))
    .use(resolveTenant(runtime))
    .use(limitRequests())
    .handler(async (event, context) => {
      const work = () => runRoute(table, event, context);
      return context.actor.kind === 'operator'
        ? auditedAccess(context, event.routeKey, work)
        : recordingRefusals(context, { event, resourceType: table.get(event.routeKey)?.resourceType }, work);
    });
}

async function runRoute(
  table: ReadonlyMap<string, TenantRoute>,
  event: ApiEvent,
  { actor, tenant }: TenantContext,
): Promise<APIGatewayProxyStructuredResultV2> {
  const route = table.get(event.routeKey);
  if (!route) throw new Problem(404, 'not-found', { detail: 'There is no such resource.' });
  requireRole(route.access, actor.role);
  const facts = requestFacts(event);
  const request = { ...readRequest(route.schemas, event), tenant, actor, facts };
  return toHttp(await route.handle(request as AnyRequest), facts);
}

/** From the one with the fewest rights. */
const ROLES: readonly MemberRole[] = ['viewer', 'member', 'admin'];

/** @throws {Problem} 403 */
function requireRole(lowest: MemberRole, role: MemberRole): void {
  if (ROLES.indexOf(role) >= ROLES.indexOf(lowest)) return;
  const detail = lowest === 'admin' ? 'Only administrators may do this.' : 'Your role may only read.';
  throw new Problem(403, 'role-not-allowed', { detail });
}

/**
 * Writes an audit entry with the status of the answer into the tenant's own log, before the operator sees the answer,
 * also for reads and refusals. When the entry cannot be written, the operator gets no answer; changes have written
 * their own entries.
 */
async function auditedAccess(
  { tenant, actor }: TenantContext,
  routeKey: string,
  work: () => Promise<APIGatewayProxyStructuredResultV2>,
): Promise<APIGatewayProxyStructuredResultV2> {
  const leaveTrace = (responseStatus: number) =>
    tenant.batch('write', [
      auditInsert(actor, {
        action: 'operator.access',
        resourceType: 'tenant',
        resourceId: tenant.tenantId,
        requestData: { route: routeKey },
        responseStatus,
      }),
    ]);
  let answer: APIGatewayProxyStructuredResultV2;
  try {
    answer = await work();
  } catch (error) {
    // The entry fails too when the tenant cannot be reached or is in another region. Ignore that: the first error is
    // the cause.
    await leaveTrace(toProblem(error).status).catch(() => logger.warn('an operator’s access left no trace'));
    throw error;
  }
  await leaveTrace(answer.statusCode ?? 200);
  return answer;
}

/** Writes an audit entry for a request that was refused. */
async function recordingRefusals<Result>(
  context: TenantContext,
  request: RefusedRequest,
  work: () => Promise<Result>,
): Promise<Result> {
  try {
    return await work();
  } catch (error) {
    // Loaded on first use: most requests are not refused.
    const { recordRefusal } = await import('./refused-requests.ts');
    await recordRefusal(context, request, error);
    throw error;
  }
}

/** Pools that one container keeps open. Beyond that number the least recently used idle pool is closed. */
const POOL_CAP = 40;

let runtime: ResolutionDependencies | undefined;

/** The objects that all requests of one container share, made at the first request. */
export function dataPlaneRuntime(): ResolutionDependencies {
  runtime ??= createRuntime();
  return runtime;
}

function createRuntime(): ResolutionDependencies {
  const directory = new TenantDirectory(registryFromEnvironment());
  const pools = new DatabasePools(new CredentialStore(), {
    cap: POOL_CAP,
    pipeline: variable<CommonEnvironment>('DB_PIPELINE') === 'on',
    onAlert: (message) => logger.critical(ALERTS.isolation, { reason: message }),
  });
  const regionKey = variable<TenantApiEnvironment>('REGION_KEY');
  return {
    directory,
    router: new TenantRouter(directory, pools, { regionKey }),
    regionKey,
    domains: variable<TenantApiEnvironment>('TENANT_DOMAINS').split(','),
    caches: cachesOf(process.env.CACHES),
  };
}

/** @param cellIds value of the variable CACHES. */
function cachesOf(cellIds: string | undefined): ResolutionDependencies['caches'] {
  if (!cellIds) return undefined;
  let pool: Promise<CachePool> | undefined;
  return () => {
    pool ??= import('../tenant-data/cache-pool.ts').then(({ cachePoolOf }) => cachePoolOf(cellIds));
    return pool;
  };
}
