import type { Logger } from '@aws-lambda-powertools/logger';
import type { MiddlewareObj } from '@middy/core';
import type { APIGatewayProxyStructuredResultV2 } from 'aws-lambda';
import { ALERTS } from '../contracts/names.ts';
import { WrongTenant } from '../database/errors.ts';
import type { ApiEvent } from './api-event.ts';
import { toProblem } from './problem-mapping.ts';

/** Turns whatever a handler throws into a problem document, and tells the log what the client is not told. */
export function answerProblems(logger: Logger): MiddlewareObj<ApiEvent, APIGatewayProxyStructuredResultV2> {
  return {
    onError: (request) => {
      const problem = toProblem(request.error);
      if (request.error instanceof WrongTenant) {
        // The registry and a database disagree about who owns a tenant: somebody has to look.
        logger.critical(ALERTS.isolation, { error: publicParts(request.error) });
      } else if (problem.status >= 500) {
        logger.error('request failed', { status: problem.status, error: publicParts(request.error) });
      }
      request.response = {
        statusCode: problem.status,
        headers: {
          'content-type': 'application/problem+json',
          'cache-control': 'no-store',
          ...problem.headers,
        },
        body: JSON.stringify(problem.toDocument()),
      };
    },
  };
}

/** An error without what PostgreSQL adds of the rows themselves (`detail`, `where`, `internalQuery`). */
function publicParts(error: unknown): Record<string, unknown> {
  const { name, message, stack, code, constraint, cause } = error as Error & {
    code?: string;
    constraint?: string;
  };
  return { name, message, code, constraint, stack, ...(cause ? { cause: publicParts(cause) } : {}) };
}
