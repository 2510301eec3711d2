import { tierTerms } from '../../contracts/tier-terms.ts';
import { CredentialStore } from '../../database/session/credentials.ts';
import type { ArrivingSchema } from '../../database/transfer/arriving-schema.ts';
import { TenantSecretInvalid } from '../../places/errors.ts';
import { type Hop, schemaVersionOf } from '../hop.ts';
import { targetTier } from './target-tier.ts';

/**
 * The schema that a hop makes, with the role that its secret is for.
 * @throws {TenantSecretInvalid} the secret is another role's. {TypeError} it does not exist yet.
 */
export async function arrivingSchemaOf(hop: Hop): Promise<ArrivingSchema> {
  const { attempt, target } = hop;
  const { schemaName, roleName, secretArn, poolSize } = target;
  if (secretArn === null) throw new TypeError('the target has no secret yet');
  const { username, password } = await new CredentialStore().get(secretArn);
  if (username !== roleName) throw new TenantSecretInvalid();
  const connectionLimit = tierTerms[targetTier(target)].connectionLimit ?? poolSize;
  const { tenantId } = attempt;
  return { tenantId, schemaName, roleName, password, connectionLimit, schemaVersion: schemaVersionOf(hop) };
}
