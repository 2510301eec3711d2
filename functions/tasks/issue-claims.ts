/**
 * Cognito trigger "pre token generation" (V2_0): adds `tenant_id`, `role` and `email` to the access token of a member
 * of a tenant, and the scope `strata/operator` to that of a platform operator.
 *
 * Fails closed: while the registry does not answer, no token is issued, so none can lack or keep a tenant by accident.
 */
import type { PreTokenGenerationV2TriggerEvent } from 'aws-lambda';
import { OPERATOR_SCOPE } from '../contracts/names.ts';
import { registryFromEnvironment } from '../registry/data-api.ts';
import { isEmailAddress } from '../resources/email-address.ts';

const OPERATORS = 'operators';

interface Membership {
  tenant_id: string;
  tenant_slug: string;
  role: string;
}

const registry = registryFromEnvironment();

/**
 * A user of several tenants names one at sign-in, as client metadata `tenant` (its slug or id). Without it the token
 * has no tenant, and the API refuses it on tenant routes.
 * @throws {RegistryError} the registry refused the query; Cognito then refuses the sign-in.
 */
export async function handler(
  event: PreTokenGenerationV2TriggerEvent,
): Promise<PreTokenGenerationV2TriggerEvent> {
  const { userAttributes, groupConfiguration, clientMetadata } = event.request;
  const email = verifiedEmail(userAttributes);
  const claims: Record<string, string> = {};
  if (email) {
    claims.email = email;
    const membership = chosen(await memberships(email), clientMetadata?.tenant);
    if (membership) {
      claims.tenant_id = membership.tenant_id;
      claims.role = membership.role;
    }
  }
  const isOperator = groupConfiguration.groupsToOverride?.includes(OPERATORS) ?? false;
  event.response = {
    claimsAndScopeOverrideDetails: {
      accessTokenGeneration: {
        claimsToAddOrOverride: claims,
        ...(isOperator ? { scopesToAdd: [OPERATOR_SCOPE] } : {}),
      },
    },
  };
  return event;
}

/** An address that its owner has not confirmed proves nothing. */
function verifiedEmail(attributes: Record<string, string>): string | undefined {
  const { email, email_verified: verified } = attributes;
  // ASCII only: the lower case of another letter may be the address of another user.
  return verified === 'true' && email && isEmailAddress(email) ? email.toLowerCase() : undefined;
}

/** Tenants that are suspended, arriving or provisioning are included: the API's answer explains their state. */
function memberships(email: string): Promise<Membership[]> {
  return registry.query<Membership>(
    `SELECT u.tenant_id::text, t.tenant_slug, u.role
       FROM tenant_users u JOIN tenants t USING (tenant_id)
      WHERE lower(u.email) = :email AND u.is_active AND t.status IN ('provisioning', 'active', 'suspended', 'arriving')
      ORDER BY t.tenant_slug`,
    { email },
  );
}

function chosen(found: readonly Membership[], wish: string | undefined): Membership | undefined {
  if (wish) return found.find(({ tenant_id, tenant_slug }) => wish === tenant_id || wish === tenant_slug);
  return found.length === 1 ? found[0] : undefined;
}
