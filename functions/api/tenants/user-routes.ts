import * as z from 'zod/mini';
import { email, pageOf, pageParameters, uuid } from '../../http/input-schemas.ts';
import { controlIdempotencyOf, operatorRoute } from '../../http/operator-api.ts';
import { createUser, deleteUser, getUser, listUsers, updateUser } from '../../registry/tenant-users.ts';
import { entityTag } from '../../resources/entity-tag.ts';
import { tenantParams } from './tenant-routes.ts';

const role = z.enum(['admin', 'member', 'viewer'], 'must be admin, member or viewer');
const userParams = z.extend(tenantParams, { userId: uuid });

export const list = operatorRoute(
  { params: tenantParams, query: z.strictObject(pageParameters) },
  async ({ registry, params, query }) => ({
    status: 200,
    body: await listUsers(registry, params.tenantId, pageOf(query)),
  }),
);

export const create = operatorRoute(
  { params: tenantParams, body: z.strictObject({ email, role }) },
  async ({ registry, params, body, operator, facts }) => {
    const idempotency = controlIdempotencyOf(facts, operator, body);
    const { user, replayed } = await createUser(registry, params.tenantId, body, {
      actor: operator,
      idempotency,
    });
    const location = `/tenants/${user.tenantId}/users/${user.userId}`;
    return { status: 201, body: user, location, etag: entityTag(user), replayed };
  },
);

export const read = operatorRoute({ params: userParams }, async ({ registry, params }) => {
  const user = await getUser(registry, params.tenantId, params.userId);
  return { status: 200, body: user, etag: entityTag(user) };
});

export const update = operatorRoute(
  {
    params: userParams,
    body: z.strictObject({
      role: z.optional(role),
      isActive: z.optional(z.boolean('must be true or false')),
    }),
  },
  async ({ registry, params, body, operator, facts }) => {
    const how = { actor: operator, ifMatch: facts.ifMatch };
    const user = await updateUser(registry, params.tenantId, params.userId, body, how);
    return { status: 200, body: user, etag: entityTag(user) };
  },
);

export const remove = operatorRoute({ params: userParams }, async ({ registry, params, operator, facts }) => {
  await deleteUser(registry, params.tenantId, params.userId, { actor: operator, ifMatch: facts.ifMatch });
  return { status: 204 };
});
