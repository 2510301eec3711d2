import type { APIGatewayProxyEventV2WithJWTAuthorizer } from 'aws-lambda';
import * as z from 'zod/mini';
import { OPERATOR_SCOPE } from '../contracts/names.ts';
import { isEmailAddress } from '../resources/email-address.ts';
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

/** The caller: a user of one tenant, or an operator of the platform. Read from a verified token only. */
export type Caller =
  | { readonly kind: 'user'; readonly subject: string; readonly email: string; readonly tenantId: string }
  | { readonly kind: 'operator'; readonly subject: string; readonly email: string | undefined };

const uuid = z.string().check(z.uuid());

/** A person who has signed in, of any tenant or none. */
export interface Account {
  readonly subject: string;
  readonly email: string;
  /** The tenant of the token. */
  readonly tenantId: string | undefined;
  /** The identity provider that has signed the person in; it vouches for its own tenant only. */
  readonly provider: string | undefined;
}

/** Reads the claims of a verified token; undefined when they have no confirmed address. */
export function readAccount(claims: Record<string, unknown>): Account | undefined {
  const { sub: subject, tenant_id: tenant, identity_provider: provider } = claims;
  const email = emailIn(claims);
  if (typeof subject !== 'string' || subject === '' || email === undefined) return undefined;
  return {
    subject,
    email,
    tenantId: typeof tenant === 'string' ? tenant.toLowerCase() : undefined,
    provider: typeof provider === 'string' ? provider : undefined,
  };
}

/** Not trimmed and not normalised: text around an address, or letters whose lower case is ASCII, make no valid address. */
function emailIn({ email }: Record<string, unknown>): string | undefined {
  return typeof email === 'string' && isEmailAddress(email) ? email.toLowerCase() : undefined;
}

/** Reads the claims of a verified token; undefined when they name neither a user of a tenant nor an operator. */
export function readCaller(claims: Record<string, unknown>): Caller | undefined {
  const text = (name: string): string | undefined => {
    const value = claims[name];
    return typeof value === 'string' && value !== '' ? value : undefined;
  };
  const subject = text('sub');
  if (!subject) return undefined;
  const email = emailIn(claims);
  if (text('scope')?.split(' ').includes(OPERATOR_SCOPE)) return { kind: 'operator', subject, email };
  const tenantId = text('tenant_id')?.toLowerCase();
  if (!tenantId || !email || !uuid.safeParse(tenantId).success) return undefined;
  return { kind: 'user', subject, email, tenantId };
}
