import { type ExpressionBuilder, type InferResult, sql } from 'kysely';
import { requireMatch } from '../resources/entity-tag.ts';
import { ResourceConflict, ResourceNotFound } from '../resources/errors.ts';
import { type PageRequest, readCursor } from '../resources/keyset-page.ts';
import { externalAccountName, requestAccount } from './account-requests.ts';
import { type AuditActor, recordAudit } from './audit-log.ts';
import { type ControlIdempotencyUse, findAnswer, keepAnswer } from './control-idempotency.ts';
import type { DataApi, RegistryExecutor } from './data-api.ts';
import { RegistryError } from './errors.ts';
import { columnValue, rfc3339 } from './registry-expressions.ts';
import { pageOfBoundedRows, readBoundedRows } from './registry-page.ts';
import { compilingOnly, type RegistrySql, registrySql } from './registry-sql.ts';
import type { RegistryTables } from './registry-tables.ts';
import { getTenant, requireNotErased } from './tenant-record.ts';
import { countActiveUsers } from './tenants.ts';

export interface TenantUser {
  readonly userId: string;
  readonly tenantId: string;
  readonly email: string;
  readonly role: 'admin' | 'member' | 'viewer';
  readonly isActive: boolean;
  readonly createdAt: string;
  readonly lastLoginAt: string | null;
}

/** A user as the API shows it, of `tenant_users` alone. */
const columnsOfUser = (eb: ExpressionBuilder<RegistryTables, 'tenant_users'>) => [
  ...(['user_id', 'tenant_id', 'email', 'role', 'is_active'] as const),
  rfc3339(eb.ref('tenant_users.created_at')).as('created_at'),
  rfc3339(eb.ref('tenant_users.last_login_at')).as('last_login_at'),
];

const selectUsers = (db: RegistrySql) => db.selectFrom('tenant_users').select(columnsOfUser);

type UserRow = InferResult<ReturnType<typeof selectUsers>>[number];

export async function listUsers(registry: RegistryExecutor, tenantReference: string, page: PageRequest) {
  const { tenantId } = await getTenant(registry, tenantReference);
  const position = page.cursor === undefined ? undefined : readCursor(page.cursor);
  const users = selectUsers(compilingOnly)
    .where('tenant_id', '=', tenantId)
    .orderBy('tenant_users.created_at')
    .orderBy('tenant_users.user_id');
  const select = position
    ? users.where((eb) =>
        eb(
          eb.refTuple('tenant_users.created_at', 'tenant_users.user_id'),
          '>',
          eb.tuple(columnValue('tenant_users.created_at', position.time), position.id),
        ),
      )
    : users;
  const rows = await readBoundedRows(registry, { select, order: sql`created_at, user_id` }, page);
  return pageOfBoundedRows(rows, page, (row) => ({ time: row.created_at, id: row.user_id }), toUser);
}

/** @throws {ResourceNotFound} */
export async function getUser(
  registry: RegistryExecutor,
  tenantReference: string,
  userId: string,
  { lock = false }: { lock?: boolean } = {},
): Promise<TenantUser> {
  const { tenantId } = await getTenant(registry, tenantReference);
  const row = await selectUsers(registrySql(registry))
    .where('tenant_id', '=', tenantId)
    .where('user_id', '=', userId)
    .$if(lock, (user) => user.forUpdate())
    .executeTakeFirst();
  if (!row) throw new ResourceNotFound('no such user');
  return toUser(row);
}

/** Who changes a tenant's users, and what else the change does. */
export interface UserChange {
  readonly actor: AuditActor;
  /**
   * Runs when the change is made and not committed yet. An error that it throws undoes the change.
   * @param action such as `user.create`.
   */
  readonly beforeCommit?: (action: string, user: TenantUser, data: Record<string, unknown>) => Promise<void>;
}

/**
 * @throws {ResourceNotFound | IdempotencyKeyReused}
 * @throws {ResourceConflict} the address is taken, the limit is reached, or the tenant is erased.
 */
export async function createUser(
  registry: Pick<DataApi, 'transaction'>,
  tenantReference: string,
  { email, role }: { email: string; role: TenantUser['role'] },
  { idempotency, ...change }: UserChange & { readonly idempotency: ControlIdempotencyUse | undefined },
): Promise<{ user: TenantUser; replayed: boolean }> {
  try {
    return await registry.transaction(async (transaction) => {
      // The lock on the tenant's row protects the count of its active users and serializes repeated requests.
      const tenant = await getTenant(transaction, tenantReference, { lock: true });
      const kept = idempotency && (await findAnswer(transaction, idempotency));
      if (kept) return { user: kept.body as TenantUser, replayed: true };
      requireNotErased(tenant);
      await requirePlace(transaction, tenant);
      const row = await registrySql(transaction)
        .insertInto('tenant_users')
        .values({ tenant_id: tenant.tenantId, email, role })
        .returning(columnsOfUser)
        .executeTakeFirstOrThrow();
      const user = toUser(row);
      let first = user;
      if (idempotency) {
        const answer = { status: 201, body: user, resourceId: user.userId };
        first = (await keepAnswer(transaction, idempotency, answer)).body as TenantUser;
      }
      await complete(transaction, change, 'user.create', user, { role });
      return { user: first, replayed: false };
    });
  } catch (error) {
    if (error instanceof RegistryError && error.sqlState === '23505') {
      throw new ResourceConflict('Another user of the tenant has this email.', 'email', { cause: error });
    }
    throw error;
  }
}

/**
 * @throws {ResourceNotFound | VersionMismatch}
 * @throws {ResourceConflict} the limit is reached, it is the last active admin, or the tenant is erased.
 */
export async function updateUser(
  registry: Pick<DataApi, 'transaction'>,
  tenantReference: string,
  userId: string,
  changes: { role?: TenantUser['role'] | undefined; isActive?: boolean | undefined },
  { ifMatch, ...change }: UserChange & { readonly ifMatch: string | undefined },
): Promise<TenantUser> {
  return registry.transaction(async (transaction) => {
    const tenant = await getTenant(transaction, tenantReference, { lock: true });
    const user = await getUser(transaction, tenant.tenantId, userId, { lock: true });
    requireMatch(ifMatch, user);
    requireNotErased(tenant);
    if (changes.isActive === true && !user.isActive) await requirePlace(transaction, tenant);
    const stays = (changes.isActive ?? user.isActive) && (changes.role ?? user.role) === 'admin';
    if (!stays) await requireOtherAdmin(transaction, user, 'deactivated or demoted');
    const update = registrySql(transaction)
      .updateTable('tenant_users')
      .set({ role: changes.role ?? user.role, is_active: changes.isActive ?? user.isActive })
      .where('tenant_id', '=', tenant.tenantId)
      .where('user_id', '=', userId)
      .returning(columnsOfUser);
    const changed = toUser(await update.executeTakeFirstOrThrow());
    await complete(transaction, change, 'user.update', changed, { ...changes });
    return changed;
  });
}

/** @throws {ResourceNotFound | VersionMismatch | ResourceConflict (the last active admin, or the tenant is erased)} */
export async function deleteUser(
  registry: Pick<DataApi, 'transaction'>,
  tenantReference: string,
  userId: string,
  { ifMatch, ...change }: UserChange & { readonly ifMatch: string | undefined },
): Promise<TenantUser> {
  return registry.transaction(async (transaction) => {
    // Under the tenant's lock, as all changes of users: a hand-over to another region must take every user along.
    const tenant = await getTenant(transaction, tenantReference, { lock: true });
    const user = await getUser(transaction, tenant.tenantId, userId, { lock: true });
    requireMatch(ifMatch, user);
    // The erasure finds the account by the user's row: without it, the account would stay, with the address.
    requireNotErased(tenant);
    await requireOtherAdmin(transaction, user, 'removed');
    const removed = await registrySql(transaction)
      .deleteFrom('tenant_users')
      .where('tenant_id', '=', user.tenantId)
      .where('user_id', '=', userId)
      .returning('external_auth_id')
      .executeTakeFirst();
    const external = removed?.external_auth_id ?? null;
    if (external !== null) await requestAccount(transaction, externalAccountName(external));
    await complete(transaction, change, 'user.delete', user, {});
    return user;
  });
}

/** A tenant needs one active admin. @throws {ResourceConflict} this user is the last one. */
async function requireOtherAdmin(
  transaction: RegistryExecutor,
  { tenantId, userId, role, isActive }: TenantUser,
  what: string,
): Promise<void> {
  if (role !== 'admin' || !isActive) return;
  const others = await registrySql(transaction)
    .selectFrom('tenant_users')
    .select('user_id')
    .where('tenant_id', '=', tenantId)
    .where('user_id', '<>', userId)
    .where('role', '=', 'admin')
    .where('is_active', '=', true)
    .limit(1)
    .execute();
  if (others.length === 0) throw new ResourceConflict(`The last active admin cannot be ${what}.`);
}

async function requirePlace(
  transaction: RegistryExecutor,
  { tenantId, maxUsers }: { tenantId: string; maxUsers: number | null },
): Promise<void> {
  if (maxUsers === null) return;
  if ((await countActiveUsers(transaction, tenantId)) >= maxUsers)
    throw new ResourceConflict(`The limit of ${maxUsers} active users is reached.`);
}

/** Adds what goes with every change of a user, in its transaction. */
async function complete(
  transaction: RegistryExecutor,
  { actor, beforeCommit }: UserChange,
  action: string,
  user: TenantUser,
  data: Record<string, unknown>,
): Promise<void> {
  const { tenantId, userId, email } = user;
  const resource = { type: 'user', id: userId };
  await recordAudit(transaction, { actor, action, tenantId, resource, data });
  // A change of the role alone is none of the account.
  if (action !== 'user.update' || data.isActive !== undefined) await requestAccount(transaction, email);
  await beforeCommit?.(action, user, data);
}

function toUser(row: UserRow): TenantUser {
  return {
    userId: row.user_id,
    tenantId: row.tenant_id,
    email: row.email,
    role: row.role,
    isActive: row.is_active,
    createdAt: row.created_at,
    lastLoginAt: row.last_login_at,
  };
}
