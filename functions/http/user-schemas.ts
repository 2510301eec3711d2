/** Input about a tenant's users, the same for the tenant's administrators and for operators. */
import * as z from 'zod/mini';
import { email } from './input-schemas.ts';

export const memberRole = z.enum(['admin', 'member', 'viewer'], 'must be admin, member or viewer');

/** The body of POST. */
export const newUser = z.strictObject({ email, role: memberRole });

/** The body of PATCH. */
export const userChanges = z.strictObject({
  role: z.optional(memberRole),
  isActive: z.optional(z.boolean('must be true or false')),
});
