import type { Logger } from '@aws-lambda-powertools/logger';
import type { MiddlewareObj } from '@middy/core';
import type { APIGatewayProxyStructuredResultV2 } from 'aws-lambda';
import { KeyUnavailable } from '../aws/errors.ts';
import { ALERTS } from '../contracts/names.ts';
import { CommitUnknown, SchemaUpgrading, TransactionTimedOut, WrongTenant } from '../database/errors.ts';
import { sqlStateOf } from '../database/session/sql-state.ts';
import { isTransient } from '../database/transient-error.ts';
import { NotPlaced, TenantElsewhere, TenantUnavailable } from '../placement/errors.ts';
import { RegistryError } from '../registry/errors.ts';
import {
  DocumentTooLarge,
  IdempotencyKeyReused,
  InvalidCursor,
  InvalidReference,
  InvalidValues,
  RegionUnavailable,
  ResourceConflict,
  ResourceNotFound,
  RulesForbid,
  TenantBetweenRegions,
  TenantNotFound,
  VersionMismatch,
} from '../resources/errors.ts';
import { jsonPointer } from '../resources/read-input.ts';
import { EncryptedValueDamaged } from '../tenant-data/errors.ts';
import type { ApiEvent } from './api-event.ts';
import { NotAMember, TenantMismatch, TenantNotNamed, TenantNotServing, TenantUnknown } from './errors.ts';
import { invalidInput, Problem } from './problem.ts';

/**
 * SQLSTATEs of a value that the database refuses: all data exceptions (class 22: too long, out of range, malformed),
 * exceeded limits (class 54), and violations of NOT NULL or CHECK.
 */
const REFUSED_VALUE = /^(?:22|54)|^(?:23502|23514)$/;

/**
 * The problem document for an error. An unknown error becomes a 500 without details, because its text may not be
 * public.
 */
export function toProblem(error: unknown): Problem {
  if (error instanceof Problem) return error;
  const cause = error;
  if (error instanceof ResourceNotFound) {
    const detail = error instanceof TenantNotFound ? error.message : 'There is no such resource.';
    return new Problem(404, 'not-found', { detail, cause });
  }
  if (error instanceof ResourceConflict) {
    return new Problem(409, 'conflict', {
      detail: error.message,
      ...(error.field ? { errors: [{ pointer: `/${error.field}`, detail: error.message }] } : {}),
      cause,
    });
  }
  if (error instanceof RulesForbid) {
    const errors = error.issues.map(({ rule, detail, field }) => ({
      ...(field ? { pointer: `/${field}` } : {}),
      rule,
      detail,
    }));
    return new Problem(409, 'conflict', { detail: error.message, errors, cause });
  }
  if (error instanceof InvalidReference) {
    return invalidInput([{ ...(error.field ? { pointer: `/${error.field}` } : {}), detail: error.message }]);
  }
  if (error instanceof InvalidValues) {
    return invalidInput(
      error.issues.map(({ path, message }) => ({ pointer: jsonPointer(path), detail: message })),
    );
  }
  if (error instanceof InvalidCursor) {
    return invalidInput([{ parameter: 'cursor', detail: 'is not a cursor of this list' }]);
  }
  if (error instanceof DocumentTooLarge) {
    const detail = `must be at most ${error.limit} KB after the change`;
    return new Problem(413, 'document-too-large', {
      detail: 'A document would be too large.',
      errors: [{ pointer: `/${error.field}`, detail }],
      cause,
    });
  }
  if (error instanceof VersionMismatch) {
    return new Problem(412, 'version-mismatch', {
      detail: 'The resource has changed since that version.',
      cause,
    });
  }
  if (error instanceof IdempotencyKeyReused) {
    return new Problem(422, 'idempotency-key-reused', {
      detail: 'This Idempotency-Key was used with another request.',
      cause,
    });
  }
  return (
    encryptionProblem(error) ??
    regionProblem(error) ??
    tenancyProblem(error) ??
    databaseProblem(error) ??
    passingProblem(error) ??
    internalError(error)
  );
}

/** The registry or an AWS service does not answer, or asks for a later retry. */
function passingProblem(cause: unknown): Problem | undefined {
  return isTransient(cause)
    ? unavailable('A service that this request needs does not answer at this moment.', 5, cause)
    : undefined;
}

function encryptionProblem(cause: unknown): Problem | undefined {
  if (cause instanceof KeyUnavailable) {
    return unavailable('The key of the encrypted fields cannot be used at this moment.', 5, cause);
  }
  if (cause instanceof EncryptedValueDamaged) {
    return new Problem(500, 'encrypted-value-damaged', {
      detail: 'An encrypted field was altered, or belongs to another record. It is not shown.',
      cause,
    });
  }
  return undefined;
}

function regionProblem(cause: unknown): Problem | undefined {
  if (cause instanceof RegionUnavailable) {
    return new Problem(503, 'region-unavailable', {
      detail: `The region "${cause.region}" cannot be reached at this moment.`,
      headers: { 'retry-after': '10' },
      cause,
    });
  }
  if (cause instanceof TenantBetweenRegions) {
    return unavailable('The tenant is on its way to another region.', 2, cause);
  }
  // Only for chains without the middleware that redirects.
  if (cause instanceof TenantElsewhere) return unavailable('The tenant is in another region.', 5, cause);
  return undefined;
}

function tenancyProblem(cause: unknown): Problem | undefined {
  if (cause instanceof TenantNotNamed) {
    return new Problem(400, 'tenant-required', { detail: 'Name the tenant in X-Tenant-ID.', cause });
  }
  if (cause instanceof TenantMismatch) {
    return new Problem(403, 'tenant-mismatch', {
      detail: 'The token does not belong to the tenant named.',
      cause,
    });
  }
  if (cause instanceof NotAMember) {
    return new Problem(403, 'not-a-member', { detail: 'You are not an active user of this tenant.', cause });
  }
  if (cause instanceof TenantUnknown) {
    return new Problem(404, 'tenant-not-found', {
      detail: `There is no tenant "${cause.reference}".`,
      cause,
    });
  }
  if (cause instanceof TenantNotServing) {
    if (cause.status === 'suspended') {
      return new Problem(403, 'tenant-suspended', { detail: 'The tenant is suspended.', cause });
    }
    if (cause.status === 'provisioning') return unavailable('The tenant is being set up.', 5, cause);
    return new Problem(403, 'tenant-inactive', { detail: 'The tenant is not active.', cause });
  }
  if (cause instanceof NotPlaced) return unavailable('The tenant is being set up.', 5, cause);
  if (cause instanceof TenantUnavailable) {
    return unavailable('The tenant cannot be served at this moment.', cause.retryAfter, cause);
  }
  return undefined;
}

function databaseProblem(cause: unknown): Problem | undefined {
  if (cause instanceof CommitUnknown) {
    return unavailable(
      'It is not known whether the change was made. Send it again with its Idempotency-Key.',
      1,
      cause,
    );
  }
  if (cause instanceof SchemaUpgrading) {
    return new Problem(503, 'schema-upgrading', {
      detail: "The tenant's tables are being upgraded. Send the request again in a moment.",
      headers: { 'retry-after': '5' },
      cause,
    });
  }
  if (cause instanceof TransactionTimedOut) return unavailable('The request took too long.', 5, cause);
  const code = cause instanceof RegistryError ? cause.sqlState : sqlStateOf(cause);
  if (code === undefined) return undefined;
  if (code === '23505')
    return new Problem(409, 'conflict', { detail: 'Such a resource exists already.', cause });
  if (code === '23503')
    return new Problem(409, 'conflict', { detail: 'Another resource refers to it.', cause });
  if (REFUSED_VALUE.test(code)) return invalidInput([{ detail: 'has a value that is out of range' }]);
  return undefined;
}

function unavailable(detail: string, retryAfter: number, cause: unknown): Problem {
  return new Problem(503, 'unavailable', { detail, headers: { 'retry-after': String(retryAfter) }, cause });
}

function internalError(cause: unknown): Problem {
  return new Problem(500, 'internal', { detail: 'Something went wrong on our side.', cause });
}

/** Turns every thrown error into a problem document, and logs the details that the client must not see. */
export function answerProblems(logger: Logger): MiddlewareObj<ApiEvent, APIGatewayProxyStructuredResultV2> {
  return {
    onError: (request) => {
      const problem = toProblem(request.error);
      if (request.error instanceof WrongTenant || request.error instanceof EncryptedValueDamaged) {
        // The registry and a database disagree about the owner of a tenant, or an encrypted value is not where it was
        // written: an operator has to investigate.
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

/** The error without the fields in which PostgreSQL quotes row values (`detail`, `where`, `internalQuery`). */
function publicParts(error: unknown): Record<string, unknown> {
  const { name, message, stack, code, constraint, cause } = error as Error & {
    code?: string;
    constraint?: string;
  };
  return { name, message, code, constraint, stack, ...(cause ? { cause: publicParts(cause) } : {}) };
}
