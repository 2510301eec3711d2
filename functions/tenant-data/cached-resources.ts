/**
 * Which resources are cached, and what a change of a resource changes besides. Only what was found is cached: a create
 * makes no cached item wrong.
 *
 * | cached | changed by |
 * |---|---|
 * | an employee, as stored | its update and deletion; the deletion of its manager |
 * | a team | its update and deletion; the deletion of its manager |
 * | the members of a team: the first page in the default order | every change of its members; the deletion of the team, or of a member |
 * | the skills: the first page in the default order | every change of a skill, and the import of a framework |
 * | a result of an assessment | its update and deletion |
 *
 * The database refuses every other deletion that would change one of them.
 */
import { createHash } from 'node:crypto';
import { sql } from 'kysely';
import type { TenantTransaction } from '../database/session/tenant-session.ts';
import { tenantStatement } from '../database/session/tenant-sql.ts';
import type { TenantAccess } from '../placement/tenant-router.ts';
import { DEFAULT_LIMIT, type Page, type PageRequest } from '../resources/keyset-page.ts';
import { type CacheName, cacheNames } from './cache-key.ts';
import type { Resource, Values } from './resource.ts';
import type { ListFilter } from './resource-statements.ts';

interface Caching {
  readonly item?: (key: Values) => CacheName;
  readonly list?: (parents: Values) => CacheName;
  /** The list is also kept in the container's memory. */
  readonly inMemory?: true;
  /** What a deletion changes besides, known from the key. */
  readonly deletes?: (key: Values) => CacheName;
  /**
   * What a deletion changes besides, known from the database. It runs when the row is locked for update, so that no other
   * transaction can add a reference to it.
   */
  readonly cascades?: (transaction: TenantTransaction, key: Values) => Promise<readonly CacheName[]>;
}

const CACHED: Readonly<Record<string, Caching>> = {
  employees: { item: ({ employee_id }) => cacheNames.employee(employee_id), cascades: referencesToEmployee },
  teams: {
    item: ({ team_id }) => cacheNames.team(team_id),
    deletes: ({ team_id }) => cacheNames.teamMembers(team_id),
  },
  team_members: { list: ({ team_id }) => cacheNames.teamMembers(team_id) },
  skills: { list: () => cacheNames.skillsList, inMemory: true },
  assessment_results: {
    item: ({ assessment_id, result_id }) => cacheNames.result(assessment_id, result_id),
  },
};

/** Reports and teams lose their manager, teams a member. */
async function referencesToEmployee(
  transaction: TenantTransaction,
  { employee_id: employeeId }: Values,
): Promise<readonly CacheName[]> {
  const rows = await transaction.query(
    tenantStatement(sql<{ kind: 'employee' | 'team' | 'members'; id: string }>`
      SELECT 'employee' AS kind, employee_id AS id FROM employees WHERE manager_id = ${employeeId}::uuid
      UNION ALL SELECT 'team', team_id FROM teams WHERE manager_id = ${employeeId}::uuid
      UNION ALL SELECT 'members', team_id FROM team_members WHERE employee_id = ${employeeId}::uuid`),
  );
  const names = { employee: cacheNames.employee, team: cacheNames.team, members: cacheNames.teamMembers };
  return rows.map(({ kind, id }) => names[kind](id));
}

/** One kind of change of a resource. `key` has the key of the row, or at least that of its parent. */
export interface ResourceChange {
  readonly kind: 'create' | 'update' | 'delete';
  readonly key: Values;
}

/** Work that a deletion has to do in its transaction, after it has locked the row. */
export type AfterLock = (transaction: TenantTransaction) => Promise<void>;

/**
 * Runs a change of a resource so that no cached copy outlives it.
 * @param work gets the tenant to change, and for some deletions what it has to do in its transaction.
 */
export async function changeCached<Result>(
  tenant: TenantAccess,
  { table }: Resource,
  { kind, key }: ResourceChange,
  work: (tenant: TenantAccess, afterLock?: AfterLock) => Promise<Result>,
): Promise<Result> {
  const { cache } = tenant;
  const caching = CACHED[table];
  if (!cache || !caching) return work(tenant);
  const { item, list, deletes, cascades } = caching;
  const names = new Set<string>();
  if (list) names.add(list(key));
  if (item && kind !== 'create') names.add(item(key));
  if (deletes && kind === 'delete') names.add(deletes(key));
  if (names.size === 0) return work(tenant);
  const afterLock: AfterLock | undefined =
    cascades && kind === 'delete'
      ? async (transaction) => {
          for (const name of await cascades(transaction, key)) names.add(name);
        }
      : undefined;
  return cache.change(names, (watch) => work(tenant.watchedBy(watch), afterLock));
}

/** One row, by its key. @param load reads it; throws when there is none. */
export async function readCachedRow(
  tenant: TenantAccess,
  resource: Resource,
  key: Values,
  load: (tenant: TenantAccess) => Promise<object>,
): Promise<object> {
  const item = CACHED[resource.table]?.item;
  const place = item && (await tenant.place());
  if (!tenant.cache || !place) return load(tenant);
  const sealed = (resource.sealed ?? []).map(({ column }) => column);
  return tenant.cache.read<object>(place, {
    name: item(key),
    shape: shapeOf(resource),
    load: (watch) => load(watch ? tenant.watchedBy(watch) : tenant),
    // Encrypted values are bytes; they are never decrypted here.
    encode: (row) => withColumns(row, sealed, (bytes) => (bytes as Buffer).toString('base64')),
    decode: (json) => withColumns(json as object, sealed, (text) => Buffer.from(text as string, 'base64')),
  });
}

/** A list as it is without parameters: no filter, no order, no cursor. */
export async function readCachedList(
  tenant: TenantAccess,
  resource: Resource,
  { filter, page }: { readonly filter: ListFilter; readonly page: PageRequest },
  load: (tenant: TenantAccess) => Promise<Page>,
): Promise<Page> {
  const { list, inMemory = false } = CACHED[resource.table] ?? {};
  const place = list && isPlain(resource, filter, page) ? await tenant.place() : undefined;
  if (!tenant.cache || !list || !place) return load(tenant);
  return tenant.cache.read<Page>(place, {
    name: list(filter.equals),
    shape: shapeOf(resource),
    inMemory,
    load: (watch) => load(watch ? tenant.watchedBy(watch) : tenant),
  });
}

function isPlain({ key }: Resource, { equals, below, search, sort }: ListFilter, page: PageRequest): boolean {
  const parents = key.slice(0, -1);
  const isFiltered = Object.entries(equals).some(
    ([column, value]) => value !== undefined && !parents.includes(column),
  );
  return (
    !isFiltered &&
    Object.keys(below ?? {}).length === 0 &&
    search === undefined &&
    sort === undefined &&
    page.cursor === undefined &&
    page.limit === DEFAULT_LIMIT
  );
}

const shapes = new WeakMap<Resource, string>();

/** Another release may have other columns. */
function shapeOf(resource: Resource): string {
  let shape = shapes.get(resource);
  if (shape === undefined) {
    const text = JSON.stringify([resource.columns, resource.order]);
    shape = createHash('sha256').update(text).digest('base64url').slice(0, 12);
    shapes.set(resource, shape);
  }
  return shape;
}

/** The row with the values of those columns converted, but null. */
function withColumns(row: object, columns: readonly string[], convert: (value: unknown) => unknown): object {
  if (columns.length === 0) return row;
  const entries = Object.entries(row).map(
    ([column, value]) =>
      [column, columns.includes(column) && value !== null ? convert(value) : value] as const,
  );
  return Object.fromEntries(entries);
}
