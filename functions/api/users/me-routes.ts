import { tierTerms } from '../../contracts/tier-terms.ts';
import { tenantRoute } from '../../http/tenant-api.ts';
import { getTenant } from '../../registry/tenant-record.ts';
import { getUser } from '../../registry/tenant-users.ts';
import { isEmailAddress } from '../../resources/email-address.ts';
import type { Actor } from '../../tenant-data/audit-log.ts';
import { usersRegistry } from './users-registry.ts';

/** The caller, and what the tenant allows: what a client needs before it shows anything. */
export interface Me {
  readonly user: {
    /** An operator acts for the tenant without being its user. */
    readonly kind: 'user' | 'operator';
    /** null for an operator. */
    readonly userId: string | null;
    /** null for an operator whose token has none. */
    readonly email: string | null;
    readonly lastLoginAt: string | null;
  };
  readonly tenant: {
    readonly tenantId: string;
    readonly slug: string;
    readonly name: string;
    readonly tier: string;
    readonly dataResidency: string;
  };
  readonly role: 'admin' | 'member' | 'viewer';
  readonly features: Readonly<Record<string, unknown>>;
  readonly limits: {
    /** null: no limit. */
    readonly maxUsers: number | null;
    readonly maxStorageGb: number | null;
    /** Requests per second, and at once. */
    readonly requestRate: number;
    readonly requestBurst: number;
  };
}

export const read = tenantRoute('viewer', {}, async ({ tenant, actor }) => {
  const registry = usersRegistry();
  const [record, lastLoginAt] = await Promise.all([
    getTenant(registry, tenant.tenantId),
    lastLoginOf(tenant.tenantId, actor),
  ]);
  const { tenantId, slug, name, tier, dataResidency, features, maxUsers, maxStorageGb } = record;
  const me: Me = {
    user: { kind: actor.kind, userId: actor.userId ?? null, email: addressOf(actor), lastLoginAt },
    tenant: { tenantId, slug, name, tier, dataResidency },
    role: actor.role,
    features,
    limits: {
      maxUsers,
      maxStorageGb,
      requestRate: record.requestRate ?? tierTerms[tier].requestRate,
      requestBurst: record.requestBurst ?? tierTerms[tier].requestBurst,
    },
  };
  return { status: 200, body: me };
});

/** An operator without an address is named by the subject of the token. */
function addressOf({ name }: Actor): string | null {
  return isEmailAddress(name) ? name : null;
}

async function lastLoginOf(tenantId: string, { userId }: Actor): Promise<string | null> {
  if (userId === undefined) return null;
  return (await getUser(usersRegistry(), tenantId, userId)).lastLoginAt;
}
