import type { APIGatewayProxyEventV2WithJWTAuthorizer } from 'aws-lambda';
import { invalidInput } from './problem.ts';

/** A request as API Gateway hands it over: payload format 2.0, token verified. */
export type ApiEvent = APIGatewayProxyEventV2WithJWTAuthorizer;

/** Facts about the client's request, for audit and for conditional requests. */
export interface RequestFacts {
  readonly requestId: string;
  readonly method: string;
  readonly path: string;
  readonly ipAddress: string | undefined;
  readonly userAgent: string | undefined;
  readonly ifMatch: string | undefined;
  readonly ifNoneMatch: string | undefined;
  readonly idempotencyKey: string | undefined;
}

export function requestFacts(event: ApiEvent): RequestFacts {
  const { http, requestId } = event.requestContext;
  const header = (name: string): string | undefined => event.headers[name]?.trim() || undefined;
  return {
    requestId,
    method: http.method,
    path: event.rawPath,
    ipAddress: http.sourceIp,
    userAgent: http.userAgent,
    ifMatch: header('if-match'),
    ifNoneMatch: header('if-none-match'),
    idempotencyKey: header('idempotency-key'),
  };
}

/** @throws {Problem} 400 for a key that is too long to store. */
export function idempotencyKeyOf({ idempotencyKey }: RequestFacts): string | undefined {
  if (idempotencyKey !== undefined && idempotencyKey.length > 255) {
    throw invalidInput([{ parameter: 'Idempotency-Key', detail: 'is longer than 255 characters' }]);
  }
  return idempotencyKey;
}
