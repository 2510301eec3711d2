/**
 * Which of the two logins requests use: the secret that the routing rows name. Containers follow within seconds. The
 * cell's own row always names the secret of the role itself. Tenants that are registered in the cell, or move there,
 * begin with the login that the others use (functions/places/starter-login.ts).
 */
import type { DataApi } from '../registry/data-api.ts';
import { now } from '../registry/registry-expressions.ts';
import { registrySql } from '../registry/registry-sql.ts';
import type { CredentialRotation } from './credential-records.ts';

/** @returns how many tenants use the other login now. */
export async function switchSecret(
  registry: Pick<DataApi, 'transaction'>,
  {
    kind,
    cellId,
    secret,
    standInSecretArn,
  }: Pick<CredentialRotation, 'kind' | 'cellId' | 'secret' | 'standInSecretArn'>,
  to: 'stand-in' | 'role',
): Promise<number> {
  if (standInSecretArn === null) throw new TypeError('the stand-in has no secret');
  const [from, next] = to === 'stand-in' ? [secret, standInSecretArn] : [standInSecretArn, secret];
  return registry.transaction(async (transaction) => {
    const db = registrySql(transaction);
    // A transaction that writes a row with the current login holds this lock, so the switch misses no row.
    if (kind === 'starter') {
      await db.selectFrom('cells').select('cell_id').where('cell_id', '=', cellId).forUpdate().execute();
    }
    // A secret is of one role, so these are all tenants of the role.
    const changed = await db
      .updateTable('tenant_database_routing')
      .set({ secret_arn: next, updated_at: now })
      .where('secret_arn', '=', from)
      .returning('tenant_id')
      .execute();
    return changed.length;
  });
}
