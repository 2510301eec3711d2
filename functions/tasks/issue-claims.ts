/**
 * Cognito trigger "pre token generation" (V2_0): puts `tenant_id`, `role` and `email` into the access token of a member
 * of a tenant, and the scope `strata/operator` into that of a platform operator.
 *
 * Fails closed: when the registry cannot be asked, nobody gets a token that lacks or keeps a tenant by accident.
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
 * Somebody who belongs to several tenants names one at sign-in, as client metadata `tenant` (its slug or id);
 * otherwise the token names none, and the API refuses it for tenant routes.
 * @throws {RegistryError} when the registry refuses; Cognito then refuses the sign-in.
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
  // Only ASCII: the lower case of another letter may be the address of another user.
  return verified === 'true' && email && isEmailAddress(email) ? email.toLowerCase() : undefined;
}

/** Tenants that are suspended, arriving or still being made are told too: the API explains what is the matter. */
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
