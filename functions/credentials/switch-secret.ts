/**
 * Which of the two logins requests use: the secret that the routing rows name. Containers follow within seconds. The
 * cell's own row always names the secret of the role itself: new tenants, and those that move here, begin with it.
 */
import type { RegistryExecutor } from '../registry/data-api.ts';
import { now } from '../registry/registry-expressions.ts';
import { registrySql } from '../registry/registry-sql.ts';
import type { CredentialRotation } from './credential-records.ts';

/** @returns how many tenants use the other login now. */
export async function switchSecret(
  registry: RegistryExecutor,
  { secret, standInSecretArn }: Pick<CredentialRotation, 'secret' | 'standInSecretArn'>,
  to: 'stand-in' | 'role',
): Promise<number> {
  if (standInSecretArn === null) throw new TypeError('the stand-in has no secret');
  const [from, next] = to === 'stand-in' ? [secret, standInSecretArn] : [standInSecretArn, secret];
  // A secret is of one role, so these are all tenants of the role.
  const changed = await registrySql(registry)
    .updateTable('tenant_database_routing')
    .set({ secret_arn: next, updated_at: now })
    .where('secret_arn', '=', from)
    .returning('tenant_id')
    .execute();
  return changed.length;
}
