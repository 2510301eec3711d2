import type { APIGatewayProxyStructuredResultV2 } from 'aws-lambda';

/** What a route answers, before it is HTTP. */
export interface Answer {
  readonly status: 200 | 201 | 202 | 204 | 304;
  /** Any JSON value; absent for 204 and 304. */
  readonly body?: unknown;
  readonly etag?: string;
  /** Absolute path of the created or the polled resource. */
  readonly location?: string;
  /** True where the answer is the kept one of an earlier request with the same Idempotency-Key. */
  readonly replayed?: boolean;
}

export function toHttp(answer: Answer): APIGatewayProxyStructuredResultV2 {
  return {
    statusCode: answer.status,
    headers: {
      // One tenant's data must not stay in a cache between it and the next one.
      'cache-control': 'no-store',
      ...(answer.body === undefined ? {} : { 'content-type': 'application/json' }),
      ...(answer.etag ? { etag: answer.etag } : {}),
      ...(answer.location ? { location: answer.location } : {}),
      ...(answer.replayed ? { 'idempotency-replayed': 'true' } : {}),
    },
    ...(answer.body === undefined ? {} : { body: JSON.stringify(answer.body) }),
  };
}
