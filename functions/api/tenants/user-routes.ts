import * as z from 'zod/mini';
import { pageOf, pageParameters, uuid } from '../../http/input-schemas.ts';
import { controlIdempotencyOf, operatorRoute } from '../../http/operator-api.ts';
import { newUser, userChanges } from '../../http/user-schemas.ts';
import { createUser, deleteUser, getUser, listUsers, updateUser } from '../../registry/tenant-users.ts';
import { entityTag } from '../../resources/entity-tag.ts';
import { tenantParams } from './tenant-routes.ts';
import { workOnAccounts } from './work-on-accounts.ts';

const userParams = z.extend(tenantParams, { userId: uuid });

export const list = operatorRoute(
  { params: tenantParams, query: z.strictObject(pageParameters) },
  async ({ registry, params, query }) => ({
    status: 200,
    body: await listUsers(registry, params.tenantId, pageOf(query)),
  }),
);

export const create = operatorRoute(
  { params: tenantParams, body: newUser },
  async ({ registry, region, params, body, operator, facts }) => {
    const idempotency = controlIdempotencyOf(facts, operator, body);
    const { user, replayed } = await createUser(registry, params.tenantId, body, {
      actor: { id: operator, type: 'operator' },
      idempotency,
    });
    if (!replayed) await workOnAccounts(region);
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
    body: userChanges,
  },
  async ({ registry, region, params, body, operator, facts }) => {
    const how = { actor: { id: operator, type: 'operator' }, ifMatch: facts.ifMatch } as const;
    const user = await updateUser(registry, params.tenantId, params.userId, body, how);
    if (body.isActive !== undefined) await workOnAccounts(region);
    return { status: 200, body: user, etag: entityTag(user) };
  },
);

export const remove = operatorRoute(
  { params: userParams },
  async ({ registry, region, params, operator, facts }) => {
    const how = { actor: { id: operator, type: 'operator' }, ifMatch: facts.ifMatch } as const;
    await deleteUser(registry, params.tenantId, params.userId, how);
    await workOnAccounts(region);
    return { status: 204 };
  },
);
