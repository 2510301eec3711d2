import * as z from 'zod/mini';
import type { MemberRole } from '../placement/tenant-directory.ts';
import type { TenantAccess } from '../placement/tenant-router.ts';
import { toCamelCase, toSnakeCase } from '../resources/field-names.ts';
import { sortNames } from '../resources/list-order.ts';
import type { Actor } from '../tenant-data/audit-log.ts';
import type { IdempotencyUse } from '../tenant-data/idempotent-create.ts';
import { sortColumns, type Values } from '../tenant-data/resource.ts';
import type { ResourceStore } from '../tenant-data/resource-store.ts';
import { sealedFieldsIn, seesSealedFields } from '../tenant-data/stored-row.ts';
import type { Answer } from './answer.ts';
import { idempotencyKeyOf, type RequestFacts } from './api-event.ts';
import { pageOf, pageParameters, searchText, uuid } from './input-schemas.ts';
import { Problem } from './problem.ts';
import { type TenantRoute, tenantRoute } from './tenant-api.ts';

type Shape = Record<string, z.ZodMiniType>;
type Fields = Readonly<Record<string, unknown>>;

export interface ResourceRoutesOptions {
  readonly store: ResourceStore;
  /** Query parameters that narrow the list, by JSON name; each compares with the column of that name. */
  readonly filters: Shape;
  /** Query parameters that keep the rows whose column is below the value. */
  readonly below?: Readonly<Record<string, { readonly column: string; readonly schema: z.ZodMiniType }>>;
  /** The body of POST: unknown members are refused. */
  readonly create: Shape;
  /** The body of PATCH: every member is optional, and may be `null` when the column may be null. */
  readonly update: Shape;
  /** The lowest role that may create, update and delete; `member` when absent. Every role may read. */
  readonly write?: MemberRole;
}

/** list, create, read, update and delete of one resource, the item named by the last of its path parameters. */
export interface ResourceRoutes {
  readonly list: TenantRoute;
  readonly create: TenantRoute;
  readonly read: TenantRoute;
  readonly update: TenantRoute;
  readonly remove: TenantRoute;
}

/** The five routes of a resource. Path parameters carry the names of the key's columns, in camelCase. */
export function resourceRoutes({
  store,
  filters,
  below = {},
  create,
  update,
  write = 'member',
}: ResourceRoutesOptions): ResourceRoutes {
  const keyFields = store.resource.key.map(toCamelCase);
  const parentFields = keyFields.slice(0, -1);
  const itemParams = z.object(Object.fromEntries(keyFields.map((field) => [field, uuid])));
  const parentParams = z.object(Object.fromEntries(parentFields.map((field) => [field, uuid])));
  const searchable = store.resource.searched.length > 0 ? { q: searchText } : {};
  const optionalFilters = Object.fromEntries(
    Object.entries(filters).map(([name, type]) => [name, z.optional(type)]),
  );
  const bounds = Object.fromEntries(
    Object.entries(below).map(([name, { schema }]) => [name, z.optional(schema)]),
  );
  const sort = z.optional(z.enum(sortNames(sortColumns(store.resource))));
  const query = z.strictObject({ ...pageParameters, sort, ...searchable, ...optionalFilters, ...bounds });

  return named(store.resource.type, {
    list: tenantRoute(
      'viewer',
      { params: parentParams, query },
      async ({ tenant, actor, params, query: given }) => {
        const { limit, cursor, q, sort, ...fields } = given as Fields & {
          limit?: number;
          cursor?: string;
          q?: string;
          sort?: string;
        };
        const isBound = ([name]: [string, unknown]) => name in below;
        const filtered = Object.entries(fields);
        const equals = Object.fromEntries(filtered.filter((entry) => !isBound(entry)));
        const filter = {
          equals: { ...toColumns(params as Fields), ...toColumns(equals) },
          below: Object.fromEntries(
            filtered.filter(isBound).map(([name, value]) => [below[name]?.column, value]),
          ),
          search: q,
          sort,
        };
        return { status: 200, body: await store.list(tenant, filter, pageOf({ limit, cursor }), actor) };
      },
    ),
    create: tenantRoute(
      write,
      { params: parentParams, body: z.strictObject(create) },
      async ({ tenant, actor, params, body, facts }): Promise<Answer> => {
        requireRoom(tenant);
        requireSealedAccess(store, actor, body as Fields);
        const { answer, replayed } = await store.create(tenant, actor, {
          values: toColumns(body as Fields),
          parents: toColumns(params as Fields),
          locate: (id) => `${facts.path.replace(/\/$/, '')}/${id}`,
          idempotency: idempotencyOf(facts, body),
        });
        return { status: 201, body: answer.body, location: answer.location, etag: answer.etag, replayed };
      },
    ),
    read: tenantRoute('viewer', { params: itemParams }, async ({ tenant, actor, params }) => {
      const { item, etag } = await store.get(tenant, toColumns(params as Fields), actor);
      return { status: 200, body: item, etag };
    }),
    update: tenantRoute(
      write,
      { params: itemParams, body: z.strictObject(update) },
      async ({ tenant, actor, params, body, facts }) => {
        requireSealedAccess(store, actor, body as Fields);
        const { item, etag } = await store.update(
          tenant,
          actor,
          toColumns(params as Fields),
          toColumns(body as Fields),
          facts.ifMatch,
        );
        return { status: 200, body: item, etag };
      },
    ),
    remove: tenantRoute(write, { params: itemParams }, async ({ tenant, actor, params, facts }) => {
      await store.delete(tenant, actor, toColumns(params as Fields), facts.ifMatch);
      return { status: 204 };
    }),
  });
}

/** The routes with what the audit log calls their resource. */
function named(resourceType: string, routes: ResourceRoutes): ResourceRoutes {
  const entries = Object.entries(routes).map(([name, route]) => [name, { ...route, resourceType }]);
  return Object.fromEntries(entries) as ResourceRoutes;
}

/**
 * Call before a request that adds rows. Reads, changes and deletions go on, so that a tenant can make room.
 * @throws {Problem} 409 when the tenant has more data than it may have, by the last measurement.
 */
export function requireRoom({ isFull }: TenantAccess): void {
  if (!isFull) return;
  throw new Problem(409, 'storage-limit', {
    detail: 'The tenant has reached its storage limit. Delete what is not needed, or ask for a higher limit.',
  });
}

/** @throws {Problem} 403 for an encrypted field, also for null, when the actor may not see it. */
function requireSealedAccess({ resource }: ResourceStore, actor: Actor, body: Fields): void {
  const fields = sealedFieldsIn(resource, body);
  if (fields.length === 0 || seesSealedFields(actor)) return;
  throw new Problem(403, 'role-not-allowed', {
    detail: `Only administrators of the tenant may write ${fields.join(' and ')}.`,
  });
}

function idempotencyOf(facts: RequestFacts, body: unknown): IdempotencyUse | undefined {
  const key = idempotencyKeyOf(facts);
  return key === undefined ? undefined : { key, method: facts.method, path: facts.path, body };
}

function toColumns(fields: Fields): Values {
  const columns: Record<string, unknown> = {};
  for (const [field, value] of Object.entries(fields)) {
    if (value !== undefined) columns[toSnakeCase(field)] = value;
  }
  return columns;
}
