/**
 * The tenants that a person who signs in belongs to. Plain SQL: Cognito waits for the sign-in trigger, which must not
 * load the query builder.
 */
import type { RegistryExecutor } from './data-api.ts';

/** An active user of a tenant, as the sign-in sees it. */
export interface Membership {
  readonly userId: string;
  readonly tenantId: string;
  readonly slug: string;
  readonly name: string;
  readonly role: 'admin' | 'member' | 'viewer';
  /** `provider:subject`, once the user has signed in through the tenant's identity provider. */
  readonly externalAuthId: string | null;
  /** The person has chosen this tenant. */
  readonly isChosen: boolean;
  /** `last_login_at` is less than an hour old. */
  readonly signedInLately: boolean;
}

/**
 * By slug. Tenants that are suspended, arriving or provisioning are included: the API's answer explains their state.
 * @param email in lower case. @param subject `sub` of the person's tokens.
 */
export function membershipsOf(
  registry: RegistryExecutor,
  { email, subject }: { readonly email: string; readonly subject: string },
): Promise<Membership[]> {
  return registry.query<Membership>(
    `SELECT u.user_id::text AS "userId", u.tenant_id::text AS "tenantId", t.tenant_slug AS slug,
            t.tenant_name AS name, u.role, u.external_auth_id AS "externalAuthId",
            c.subject IS NOT NULL AS "isChosen",
            coalesce(u.last_login_at > now() - interval '1 hour', false) AS "signedInLately"
       FROM tenant_users u JOIN tenants t USING (tenant_id)
       LEFT JOIN tenant_choices c ON c.tenant_id = u.tenant_id AND c.subject = :subject
      WHERE lower(u.email) = :email AND u.is_active AND t.status IN ('provisioning', 'active', 'suspended', 'arriving')
      ORDER BY t.tenant_slug`,
    { email, subject },
  );
}
