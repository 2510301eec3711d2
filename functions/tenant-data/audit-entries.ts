/** The entries of a tenant's audit log, for its administrators: filtered, in pages, newest first unless asked otherwise. */
import { type Expression, type SqlBool, sql } from 'kysely';
import type { TenantAccess } from '../placement/tenant-router.ts';
import { type Item, toCamelCase, toItem } from '../resources/field-names.ts';
import {
  MAX_PAGE_BYTES,
  type Page,
  type PageRequest,
  pageOfRows,
  sizeInAnswer,
} from '../resources/keyset-page.ts';
import { cursorIn, type ListOrder, readCursorIn } from '../resources/list-order.ts';
import { anyTable } from './resource.ts';
import { rowsAfter } from './resource-statements.ts';

export interface AuditFilter {
  /** As the log has it (`user:ada@example.com`), or without its kind (`ada@example.com`). */
  readonly actor?: string | undefined;
  readonly action?: string | undefined;
  readonly resourceType?: string | undefined;
  readonly resourceId?: string | undefined;
  /** RFC 3339; the first moment that is included. */
  readonly from?: string | undefined;
  /** RFC 3339; the first moment that is not. */
  readonly to?: string | undefined;
}

export type AuditOrder = 'createdAt' | '-createdAt';

const COLUMNS = [
  'log_id',
  'created_at',
  'actor',
  'user_id',
  'action',
  'resource_type',
  'resource_id',
  'response_status',
  'changes',
  'request_data',
  'ip_address',
  'user_agent',
] as const;
const BY_TIME = { column: 'created_at', type: 'time', id: 'log_id' } as const satisfies Partial<ListOrder>;
/** What an actor's name can begin with. */
const KINDS = ['user', 'operator', 'platform'];

/** @throws {InvalidCursor} */
export async function listAuditEntries(
  tenant: TenantAccess,
  filter: AuditFilter,
  { limit, cursor }: PageRequest,
  sort: AuditOrder = '-createdAt',
): Promise<Page> {
  const descending = sort === '-createdAt';
  const order = { ...BY_TIME, descending, isDefault: descending };
  const direction = descending ? 'desc' : 'asc';
  let query = anyTable
    .selectFrom('audit_log')
    .select([...COLUMNS])
    .where((where) => where.and(conditions(filter)))
    .orderBy('created_at', direction)
    .orderBy('log_id', direction)
    .limit(limit + 1);
  if (cursor !== undefined) query = query.where(rowsAfter(order, readCursorIn(order, cursor))[0]);
  const [rows] = await tenant.batch('read', [query]);
  return pageOfRows(
    rows as object[],
    { limit, maxBytes: MAX_PAGE_BYTES, sizeOf: sizeInAnswer, cut: false },
    (row) => cursorIn(order, row),
    toAuditItem,
  );
}

function conditions({
  actor,
  action,
  resourceType,
  resourceId,
  from,
  to,
}: AuditFilter): Expression<SqlBool>[] {
  const all: Expression<SqlBool>[] = [];
  if (actor !== undefined) {
    // Addresses are stored in lower case; the subject of an operator without an address is not.
    const given = [...new Set([actor, actor.toLowerCase()])];
    const names = given.flatMap((name) => [name, ...KINDS.map((kind) => `${kind}:${name}`)]);
    all.push(sql<SqlBool>`${sql.ref('actor')} = ANY (${names}::text[])`);
  }
  if (action !== undefined) all.push(sql<SqlBool>`${sql.ref('action')} = ${action}`);
  if (resourceType !== undefined) all.push(sql<SqlBool>`${sql.ref('resource_type')} = ${resourceType}`);
  if (resourceId !== undefined) all.push(sql<SqlBool>`${sql.ref('resource_id')} = ${resourceId}::uuid`);
  if (from !== undefined) all.push(sql<SqlBool>`${sql.ref('created_at')} >= ${from}::timestamptz`);
  if (to !== undefined) all.push(sql<SqlBool>`${sql.ref('created_at')} < ${to}::timestamptz`);
  return all;
}

/** The request's fields are logged by the names of their columns. */
function toAuditItem(row: object): Item {
  const item = toItem(row);
  const { requestData: data } = item;
  if (typeof data === 'object' && data !== null && !Array.isArray(data)) {
    item.requestData = Object.fromEntries(
      Object.entries(data).map(([name, value]) => [toCamelCase(name), value]),
    );
  }
  return item;
}
