/**
 * Cognito trigger "pre token generation" (V2_0): adds `tenant_id`, `role` and `email` to the access token of a member
 * of a tenant, and the scope `strata/operator` to that of a platform operator. It runs at each sign-in and refresh.
 *
 * Fails closed: while the registry does not answer, no token is issued, so none can lack or keep a tenant by accident.
 */
import type { PreTokenGenerationV2TriggerEvent } from 'aws-lambda';
import { type IdentityProviders, signInClaims } from '../accounts/sign-in-claims.ts';
import { type SignInEnvironment, variable } from '../contracts/environments.ts';
import { registryFromEnvironment } from '../registry/data-api.ts';

const registry = registryFromEnvironment();
const providers = JSON.parse(variable<SignInEnvironment>('IDENTITY_PROVIDERS')) as IdentityProviders;

/**
 * A client that signs in by API may name the tenant in client metadata `tenant` (slug or id). Without it a member of
 * several tenants gets the one that they have chosen (`PUT /me/tenant`), or a token that the API refuses on tenant routes.
 * @throws {RegistryError} the registry refused the query; Cognito then refuses the sign-in.
 */
export async function handler(
  event: PreTokenGenerationV2TriggerEvent,
): Promise<PreTokenGenerationV2TriggerEvent> {
  const { userAttributes, groupConfiguration, clientMetadata } = event.request;
  const { claims, scopes } = await signInClaims(
    registry,
    {
      attributes: userAttributes,
      groups: groupConfiguration.groupsToOverride ?? [],
      wish: clientMetadata?.tenant,
    },
    providers,
  );
  event.response = {
    claimsAndScopeOverrideDetails: {
      accessTokenGeneration: {
        claimsToAddOrOverride: { ...claims },
        ...(scopes.length > 0 ? { scopesToAdd: [...scopes] } : {}),
      },
    },
  };
  return event;
}
