import { CredentialStore } from '../../database/session/credentials.ts';
import type { ArrivingSchema } from '../../database/transfer/arriving-schema.ts';
import { tierTerms } from '../../placement/tier-terms.ts';
import { TenantSecretInvalid } from '../../provisioning/errors.ts';
import type { Hop } from '../hop.ts';
import { targetTier } from './target-tier.ts';

/**
 * The schema that a hop makes, with the role that its secret is for.
 * @throws {TenantSecretInvalid} the secret is another role's. {TypeError} it does not exist yet.
 */
export async function arrivingSchemaOf({ attempt, target }: Hop): Promise<ArrivingSchema> {
  const { schemaName, roleName, secretArn, poolSize } = target;
  if (secretArn === null) throw new TypeError('the target has no secret yet');
  const { username, password } = await new CredentialStore().get(secretArn);
  if (username !== roleName) throw new TenantSecretInvalid();
  const connectionLimit = tierTerms[targetTier(target)].connectionLimit ?? poolSize;
  return { tenantId: attempt.tenantId, schemaName, roleName, password, connectionLimit };
}
