/** What sign-ins change. The trigger loads it only when there is something to change. */
import { sql } from 'kysely';
import type { RegistryExecutor } from './data-api.ts';
import { RegistryError } from './errors.ts';
import { now } from './registry-expressions.ts';
import { registrySql } from './registry-sql.ts';

/** Stores for which tenant the person's tokens are issued from now on. @param subject `sub` of the tokens. */
export async function chooseTenant(
  registry: RegistryExecutor,
  { subject, tenantId }: { readonly subject: string; readonly tenantId: string },
): Promise<void> {
  const choice = { tenant_id: tenantId, chosen_at: now };
  await registrySql(registry)
    .insertInto('tenant_choices')
    .values({ subject, ...choice })
    .onConflict((other) => other.column('subject').doUpdateSet(choice))
    .execute();
}

export async function noteSignIn(registry: RegistryExecutor, userId: string): Promise<void> {
  await registrySql(registry)
    .updateTable('tenant_users')
    .set({ last_login_at: now })
    .where('user_id', '=', userId)
    .execute();
}

/**
 * Binds a user to the one account of the identity provider that signs in first under the user's address.
 * @returns false when the user is bound to another account, or the account to another user.
 */
export async function bindExternalId(
  registry: RegistryExecutor,
  userId: string,
  externalAuthId: string,
): Promise<boolean> {
  try {
    const bound = await registrySql(registry)
      .updateTable('tenant_users')
      .set({ external_auth_id: externalAuthId })
      .where('user_id', '=', userId)
      .where((eb) => eb.or([eb('external_auth_id', 'is', null), eb('external_auth_id', '=', externalAuthId)]))
      .returning(sql<number>`1`.as('bound'))
      .execute();
    return bound.length > 0;
  } catch (error) {
    if (error instanceof RegistryError && error.sqlState === '23505') return false;
    throw error;
  }
}
