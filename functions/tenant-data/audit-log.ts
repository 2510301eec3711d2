import { type OperationNodeSource, type RawBuilder, sql } from 'kysely';
import { type Statement, tenantStatement } from '../database/session/tenant-sql.ts';
import type { MemberRole } from '../placement/tenant-directory.ts';
import { isSecret, REDACTED, type RecordedChange } from './audit-changes.ts';
import { anyTable } from './resource.ts';

export interface AuditEntry {
  /** `employee.create`, `team.delete`, `operator.access`, … */
  readonly action: string;
  readonly resourceType: string;
  readonly resourceId: string | undefined;
  readonly requestData: unknown;
  readonly responseStatus: number;
}

/** Of a larger request only the names of its fields are recorded. */
const MAX_RECORDED_CHARACTERS = 16_384;

/**
 * Makes one statement of a change and its audit entry: both are kept or neither. A change that affects no row logs
 * nothing. The statement returns the rows that the change returns.
 * @param recorded what the entry tells of the row; nothing but the request when absent.
 */
export function audited<Row>(
  change: OperationNodeSource,
  actor: Actor,
  entry: AuditEntry,
  recorded?: RecordedChange,
): Statement<Row> {
  const sources = recorded?.before ? ['changed', 'before'] : ['changed'];
  const changes = recorded ? { changes: recorded.changes } : {};
  const logged = insertEntry(entryColumns(actor, entry), { sources, more: changes });
  const before = recorded?.before ? sql`before AS MATERIALIZED (${recorded.before}), ` : sql``;
  return tenantStatement(
    sql<Row>`WITH ${before}changed AS (${change}), logged AS (${logged}) SELECT * FROM changed`,
  );
}

/**
 * A separate entry, for actions that change no row, or many at once.
 * @param recorded what the entry tells of these rows; nothing but the request when absent.
 */
export function auditInsert(
  actor: Actor,
  entry: AuditEntry,
  recorded?: Pick<RecordedChange, 'changes'>,
): Statement<object> {
  return insertEntry(entryColumns(actor, entry), recorded ? { more: { changes: recorded.changes } } : {});
}

type EntryColumns = Readonly<Record<string, RawBuilder<unknown>>>;

/** The entry's values by column. */
export function entryColumns(actor: Actor, entry: AuditEntry) {
  return {
    user_id: sql`${actor.userId ?? null}::uuid`,
    actor: sql`${`${actor.kind}:${actor.name}`}::text`,
    action: sql`${entry.action}::text`,
    resource_type: sql`${entry.resourceType}::text`,
    resource_id: sql`${entry.resourceId ?? null}::uuid`,
    ip_address: sql`${actor.ipAddress ?? null}::inet`,
    user_agent: sql`${actor.userAgent ?? null}::text`,
    request_data: sql`${recordable(entry.requestData)}::jsonb`,
    response_status: sql`${entry.responseStatus}::integer`,
  };
}

/** @param sources names of parts of the statement: an entry is written for each of their rows. */
function insertEntry(
  columns: EntryColumns,
  { sources, more = {} }: { readonly sources?: readonly string[]; readonly more?: EntryColumns } = {},
) {
  const all = { ...columns, ...more };
  const selections = Object.entries(all).map(([name, value]) => value.as(name));
  return anyTable
    .insertInto('audit_log')
    .columns(Object.keys(all))
    .expression(
      sources ? anyTable.selectFrom([...sources]).select(selections) : anyTable.selectNoFrom(selections),
    );
}

function recordable(data: unknown): string | null {
  if (data === undefined) return null;
  const text = JSON.stringify(data, (key, value) => (isSecret(key) && value !== null ? REDACTED : value));
  if (text.length <= MAX_RECORDED_CHARACTERS) return text;
  return JSON.stringify({ fields: Object.keys(data as object) });
}

/** The user or operator that acts, and the client's address, as the audit log records them. */
export interface Actor {
  readonly kind: 'user' | 'operator';
  /** `tenant_users.user_id`; operators have none. */
  readonly userId: string | undefined;
  /** An e-mail address, or an operator's subject. */
  readonly name: string;
  readonly role: MemberRole;
  readonly ipAddress: string | undefined;
  readonly userAgent: string | undefined;
}
