/**
 * One line of the log for each request: what the request was, for whom, and what it cost. The hourly aggregation sums
 * these lines up (`functions/metering`), and CloudWatch makes metrics of them, because the line has its embedded metric
 * format.
 *
 * A metric exists for each combination of its dimensions, and each costs money. So dimensions are service, tier and cell
 * only: few values, whatever the number of tenants. Tenant, route and all else are properties of the line.
 *
 * The line has no personal data: no address or name, no path or query (only the route's key), no body, no client
 * address. The user is a hash, which is only good for counting users.
 */
import { hash } from 'node:crypto';
import { Metrics, MetricUnit } from '@aws-lambda-powertools/metrics';
import type { MiddlewareObj } from '@middy/core';
import type { APIGatewayProxyEventV2, APIGatewayProxyStructuredResultV2, Context } from 'aws-lambda';
import { METRICS_NAMESPACE, REQUEST_LINE } from '../contracts/request-line.ts';
import { databaseTimeSpent } from '../database/session/database-time.ts';
import type { ApiEvent } from './api-event.ts';
import type { TenantContext } from './resolve-tenant.ts';

/** Made at the first request: an import of this module must cost nothing. */
let metrics: Metrics | undefined;
/** True until the container's first request has been logged. */
let isColdStart = true;

/** When a request began; both in milliseconds. */
interface Begin {
  readonly at: number;
  readonly databaseMs: number;
}

/** What the line says of the request itself. */
type LoggedEvent = Pick<APIGatewayProxyEventV2, 'routeKey' | 'isBase64Encoded'> & {
  readonly body?: string | undefined;
  readonly requestContext: { readonly requestId: string };
};

/** Absent while the request's tenant is not resolved, and on routes without one. */
type RequestOwner = Partial<Pick<TenantContext, 'tenant' | 'actor' | 'answerHeaders'>>;

const begin = (): Begin => ({ at: performance.now(), databaseMs: databaseTimeSpent() });

/** The middleware that logs each request, also one whose handler has thrown. Use it first: it then sees the answer. */
export function logRequests(): MiddlewareObj<ApiEvent, APIGatewayProxyStructuredResultV2, Error, Context> {
  const begins = new WeakMap<object, Begin>();
  const finish = (
    event: ApiEvent,
    context: Context & RequestOwner,
    response: APIGatewayProxyStructuredResultV2 | null | undefined,
  ) => {
    if (response) {
      response.headers = {
        ...response.headers,
        ...context.answerHeaders,
        'x-request-id': event.requestContext.requestId,
      };
    }
    logRequest(event, response ?? { statusCode: 500 }, begins.get(event) ?? begin(), context);
  };
  return {
    before: ({ event }) => {
      begins.set(event, begin());
    },
    after: ({ event, context, response }) => finish(event, context, response),
    onError: ({ event, context, response }) => finish(event, context, response),
  };
}

/** Logs the request of a function without the middleware. @param at when it began, on `performance.now()`'s clock */
export function logPlainRequest(
  event: LoggedEvent,
  response: APIGatewayProxyStructuredResultV2,
  at: number,
): void {
  logRequest(event, response, { at, databaseMs: databaseTimeSpent() });
}

function logRequest(
  event: LoggedEvent,
  { statusCode = 200, body = '' }: APIGatewayProxyStructuredResultV2,
  { at, databaseMs }: Begin,
  { tenant, actor }: RequestOwner = {},
): void {
  metrics ??= new Metrics({ namespace: METRICS_NAMESPACE });
  metrics
    .addDimension('tier', tenant?.tier ?? 'none')
    .addDimension('cell', tenant ? (tenant.cellId ?? 'dedicated') : 'none')
    .addMetric('durationMs', MetricUnit.Milliseconds, rounded(performance.now() - at))
    .addMetric('databaseMs', MetricUnit.Milliseconds, rounded(databaseTimeSpent() - databaseMs))
    .addMetric('errors', MetricUnit.Count, statusCode >= 500 ? 1 : 0);
  const traceId = traceIdOf(process.env._X_AMZN_TRACE_ID);
  const properties = {
    message: REQUEST_LINE,
    at: Date.now(),
    requestId: event.requestContext.requestId,
    ...(traceId === undefined ? {} : { traceId }),
    route: event.routeKey,
    status: statusCode,
    bytesIn: sizeOf(event.body, event.isBase64Encoded),
    bytesOut: sizeOf(body, false),
    coldStart: isColdStart,
    ...(tenant ? { tenantId: tenant.tenantId } : {}),
    ...(tenant && actor?.kind === 'user'
      ? { actor: hash('sha256', `${tenant.tenantId} ${actor.userId}`).slice(0, 16) }
      : {}),
  };
  for (const [name, value] of Object.entries(properties)) {
    // Powertools declares text only, and writes any JSON value: sums need numbers.
    metrics.addMetadata(name, value as string);
  }
  metrics.publishStoredMetrics();
  isColdStart = false;
}

/** In bytes. */
function sizeOf(body: string | undefined, isBase64: boolean): number {
  return body ? Buffer.byteLength(body, isBase64 ? 'base64' : 'utf8') : 0;
}

/** Milliseconds with microseconds as decimals. */
const rounded = (ms: number): number => Math.round(ms * 1_000) / 1_000;

/** `1-5759e988-bd862e3fe1be46a994272793` of `Root=1-5759e988-bd862e3fe1be46a994272793;Parent=…;Sampled=0`. */
function traceIdOf(header: string | undefined): string | undefined {
  return header === undefined ? undefined : /Root=([^;]+)/.exec(header)?.[1];
}
