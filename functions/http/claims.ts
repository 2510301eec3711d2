import * as z from 'zod/mini';
import { OPERATOR_SCOPE } from '../contracts/names.ts';
import { isEmailAddress } from '../resources/email-address.ts';

/** The caller: a user of one tenant, or an operator of the platform. Read from a verified token only. */
export type Caller =
  | { readonly kind: 'user'; readonly subject: string; readonly email: string; readonly tenantId: string }
  | { readonly kind: 'operator'; readonly subject: string; readonly email: string | undefined };

const uuid = z.string().check(z.uuid());

/** Reads the claims of a verified token; undefined when they name neither a user of a tenant nor an operator. */
export function readCaller(claims: Record<string, unknown>): Caller | undefined {
  const text = (name: string): string | undefined => {
    const value = claims[name];
    return typeof value === 'string' && value !== '' ? value : undefined;
  };
  const subject = text('sub');
  if (!subject) return undefined;
  // Not trimmed and not normalised: text around an address, or letters whose lower case is ASCII, make no valid
  // address.
  const claimed = text('email');
  const email = claimed !== undefined && isEmailAddress(claimed) ? claimed.toLowerCase() : undefined;
  if (text('scope')?.split(' ').includes(OPERATOR_SCOPE)) return { kind: 'operator', subject, email };
  const tenantId = text('tenant_id')?.toLowerCase();
  if (!tenantId || !email || !uuid.safeParse(tenantId).success) return undefined;
  return { kind: 'user', subject, email, tenantId };
}
