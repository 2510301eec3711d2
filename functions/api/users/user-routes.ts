import * as z from 'zod/mini';
import { idempotencyKeyOf, type RequestFacts } from '../../http/api-event.ts';
import { pageOf, pageParameters, uuid } from '../../http/input-schemas.ts';
import { dataPlaneRuntime, type TenantRequest, tenantRoute } from '../../http/tenant-api.ts';
import { newUser, userChanges } from '../../http/user-schemas.ts';
import {
  createUser,
  deleteUser,
  getUser,
  listUsers,
  type TenantUser,
  type UserChange,
  updateUser,
} from '../../registry/tenant-users.ts';
import { entityTag } from '../../resources/entity-tag.ts';
import { auditInsert } from '../../tenant-data/audit-log.ts';
import { usersRegistry } from './users-registry.ts';

const userParams = z.object({ userId: uuid });

export const list = tenantRoute(
  'admin',
  { query: z.strictObject(pageParameters) },
  async ({ tenant, query }) => ({
    status: 200,
    body: await listUsers(usersRegistry(), tenant.tenantId, pageOf(query)),
  }),
);

/** The user is invited within a minute, by the schedule of the task that works on accounts. */
export const create = tenantRoute('admin', { body: newUser }, async ({ tenant, actor, body, facts }) => {
  const { user, replayed } = await createUser(usersRegistry(), tenant.tenantId, body, {
    ...changeBy({ tenant, actor }, 201),
    idempotency: idempotencyOf({ tenant, actor, facts }, body),
  });
  if (!replayed) learn(user);
  return { status: 201, body: user, location: `/users/${user.userId}`, etag: entityTag(user), replayed };
});

export const read = tenantRoute('admin', { params: userParams }, async ({ tenant, params }) => {
  const user = await getUser(usersRegistry(), tenant.tenantId, params.userId);
  return { status: 200, body: user, etag: entityTag(user) };
});

export const update = tenantRoute(
  'admin',
  {
    params: userParams,
    body: userChanges,
  },
  async ({ tenant, actor, params, body, facts }) => {
    const user = await updateUser(usersRegistry(), tenant.tenantId, params.userId, body, {
      ...changeBy({ tenant, actor }, 200),
      ifMatch: facts.ifMatch,
    });
    learn(user);
    return { status: 200, body: user, etag: entityTag(user) };
  },
);

export const remove = tenantRoute(
  'admin',
  { params: userParams },
  async ({ tenant, actor, params, facts }) => {
    const user = await deleteUser(usersRegistry(), tenant.tenantId, params.userId, {
      ...changeBy({ tenant, actor }, 204),
      ifMatch: facts.ifMatch,
    });
    learn({ ...user, isActive: false });
    return { status: 204 };
  },
);

type By = Pick<TenantRequest<unknown, unknown, unknown>, 'tenant' | 'actor'>;

/**
 * The change is recorded twice: in the registry's own log, in its transaction, and in the tenant's, before that
 * transaction commits. So the tenant's log may have a change whose commit failed, but never lacks one that was made.
 */
function changeBy({ tenant, actor }: By, responseStatus: number): UserChange {
  const isUser = actor.kind === 'user';
  return {
    actor: { id: isUser ? (actor.userId ?? '') : actor.name, type: isUser ? 'user' : 'operator' },
    beforeCommit: async (action, { userId: resourceId, email: address }, data) => {
      await tenant.batch('write', [
        auditInsert(actor, {
          action,
          resourceType: 'user',
          resourceId,
          requestData: { email: address, ...data },
          responseStatus,
        }),
      ]);
    },
  };
}

function idempotencyOf({ tenant, actor, facts }: By & { facts: RequestFacts }, body: unknown) {
  const key = idempotencyKeyOf(facts);
  // Operators act for several tenants.
  const path = `/tenants/${tenant.tenantId}/users`;
  return key === undefined ? undefined : { key, actor: actor.userId ?? actor.name, path, body };
}

/** This container knows the change at once; others look the user up again within two seconds. */
function learn({ tenantId, userId, email: address, role: given, isActive }: TenantUser): void {
  const member = isActive ? { userId, role: given } : undefined;
  dataPlaneRuntime().directory.learnMember(tenantId, address, member);
}
