import type { Logger } from '@aws-lambda-powertools/logger';
import type { MiddlewareObj } from '@middy/core';
import type { APIGatewayProxyStructuredResultV2 } from 'aws-lambda';
import { matchesTag } from '../resources/entity-tag.ts';
import { MAX_PAGE_BYTES } from '../resources/keyset-page.ts';
import type { ApiEvent, RequestFacts } from './api-event.ts';
import { Problem } from './problem.ts';
import type { TenantContext } from './resolve-tenant.ts';

/** The largest answer that Lambda takes, in bytes, minus the headers. The body is a string inside that JSON. */
const MAX_ANSWER_BYTES = 6 * 1024 * 1024 - 64 * 1024;

/** The answer of a route, before it becomes an HTTP response. */
export interface Answer {
  readonly status: 200 | 201 | 202 | 204 | 304;
  /** Any JSON value; absent for 204 and 304. */
  readonly body?: unknown;
  readonly etag?: string;
  /** Absolute path of the created or the polled resource. */
  readonly location?: string;
  /** True for the stored answer of an earlier request with the same Idempotency-Key. */
  readonly replayed?: boolean;
}

/** Turns the answer to a GET into 304 when the client already has this version. All other answers stay as they are. */
function unlessKnown(answer: Answer, { method, ifNoneMatch }: RequestFacts): Answer {
  const { status, etag } = answer;
  const known = method === 'GET' && status === 200 && etag !== undefined && ifNoneMatch !== undefined;
  return known && matchesTag(ifNoneMatch, etag, 'weak') ? { status: 304, etag } : answer;
}

/**
 * @throws {Problem} 413 for an item that is larger than an answer can be: its documents were written under larger
 *   limits.
 */
export function toHttp(given: Answer, facts: RequestFacts): APIGatewayProxyStructuredResultV2 {
  const answer = unlessKnown(given, facts);
  let body = answer.body === undefined ? undefined : JSON.stringify(answer.body);
  if (body && isTooLarge(body)) {
    if (facts.method === 'GET') {
      throw new Problem(413, 'answer-too-large', {
        detail: 'The resource is larger than an answer can be. Remove parts of its documents by PATCH.',
      });
    }
    // The change is committed, so the answer must not be an error.
    body = JSON.stringify(answer.body, (key, value) =>
      key !== '' && isLargeDocument(value) ? undefined : value,
    );
  }
  return {
    statusCode: answer.status,
    headers: {
      // No cache on the way may keep one tenant's data and serve it to another tenant.
      'cache-control': 'no-store',
      ...(body === undefined ? {} : { 'content-type': 'application/json' }),
      ...(answer.etag ? { etag: answer.etag } : {}),
      ...(answer.location ? { location: answer.location } : {}),
      ...(answer.replayed ? { 'idempotency-replayed': 'true' } : {}),
    },
    ...(body === undefined ? {} : { body }),
  };
}

function isTooLarge(body: string): boolean {
  // Escaping makes a character at most six times longer.
  return body.length > MAX_ANSWER_BYTES / 8 && Buffer.byteLength(JSON.stringify(body)) > MAX_ANSWER_BYTES;
}

/** Half a page of a list, or more. */
function isLargeDocument(value: unknown): boolean {
  return typeof value === 'object' && value !== null && JSON.stringify(value).length > MAX_PAGE_BYTES / 2;
}

/** Names each request in the log and in `X-Request-Id`. Bodies and tokens are never logged. */
export function logRequests(logger: Logger): MiddlewareObj<ApiEvent, APIGatewayProxyStructuredResultV2> {
  const finish = (
    event: ApiEvent,
    response: APIGatewayProxyStructuredResultV2 | null | undefined,
    context: object,
  ) => {
    if (!response) return;
    const { answerHeaders } = context as Partial<TenantContext>;
    response.headers = {
      ...response.headers,
      ...answerHeaders,
      'x-request-id': event.requestContext.requestId,
    };
    logger.info('request', {
      requestId: event.requestContext.requestId,
      route: event.routeKey,
      status: response.statusCode,
    });
  };
  return {
    after: ({ event, response, context }) => finish(event, response, context),
    onError: ({ event, response, context }) => finish(event, response, context),
  };
}
