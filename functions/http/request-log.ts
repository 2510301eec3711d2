import type { Logger } from '@aws-lambda-powertools/logger';
import type { MiddlewareObj } from '@middy/core';
import type { APIGatewayProxyStructuredResultV2 } from 'aws-lambda';
import type { ApiEvent } from './api-event.ts';

/** Names each request in the log and in `X-Request-Id`. Bodies and tokens are never logged. */
export function logRequests(logger: Logger): MiddlewareObj<ApiEvent, APIGatewayProxyStructuredResultV2> {
  const finish = (event: ApiEvent, response: APIGatewayProxyStructuredResultV2 | null | undefined) => {
    if (!response) return;
    response.headers = { ...response.headers, 'x-request-id': event.requestContext.requestId };
    logger.info('request', {
      requestId: event.requestContext.requestId,
      route: event.routeKey,
      status: response.statusCode,
    });
  };
  return {
    after: ({ event, response }) => finish(event, response),
    onError: ({ event, response }) => finish(event, response),
  };
}
