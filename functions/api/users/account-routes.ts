import * as z from 'zod/mini';
import { accountRoute } from '../../http/account-api.ts';
import type { Account } from '../../http/api-event.ts';
import { NotAMember } from '../../http/errors.ts';
import { requiredText } from '../../http/input-schemas.ts';
import { type Membership, membershipsOf } from '../../registry/memberships.ts';
import { chooseTenant } from '../../registry/sign-ins.ts';
import { usersRegistry } from './users-registry.ts';

/** A tenant of which the caller is an active user. */
export interface OwnTenant {
  readonly tenantId: string;
  readonly slug: string;
  readonly name: string;
  readonly role: 'admin' | 'member' | 'viewer';
  /** Tokens are issued for this tenant. */
  readonly isChosen: boolean;
}

export const tenants = accountRoute({}, async ({ account }) => ({
  status: 200,
  body: { items: (await own(account)).map(shown) },
}));

/** The choice has an effect on the next token: the client refreshes its own. */
export const choose = accountRoute(
  { body: z.strictObject({ tenant: requiredText(100) }) },
  async ({ account, body }) => {
    const wish = body.tenant.toLowerCase();
    const found = (await own(account)).find(({ tenantId, slug }) => wish === tenantId || wish === slug);
    // The answer is the same whether that tenant exists or not.
    if (!found) throw new NotAMember('the caller is no active user of that tenant');
    await chooseTenant(usersRegistry(), { subject: account.subject, tenantId: found.tenantId });
    return { status: 200, body: shown({ ...found, isChosen: true }) };
  },
);

/** An identity provider vouches for its own tenant only, which is the token's: it must learn of no other one. */
async function own(account: Account): Promise<Membership[]> {
  const found = await membershipsOf(usersRegistry(), account);
  return account.provider === undefined
    ? found
    : found.filter(({ tenantId }) => tenantId === account.tenantId);
}

function shown({ tenantId, slug, name, role, isChosen }: Membership): OwnTenant {
  return { tenantId, slug, name, role, isChosen };
}
