import { type OperationNodeSource, sql } from 'kysely';
import type { Statement } from '../database/session/tenant-session.ts';
import { tenantStatement } from '../database/session/tenant-sql.ts';
import type { MemberRole } from '../placement/tenant-directory.ts';
import { anyTable } from './resource.ts';

export interface AuditEntry {
  /** `employee.create`, `team.delete`, `operator.access`, … */
  readonly action: string;
  readonly resourceType: string;
  readonly resourceId: string | undefined;
  readonly requestData: unknown;
  readonly responseStatus: number;
}

/** Never written to the log, at whatever depth of a request they stand. */
const SECRET_FIELDS = new Set(['ssn', 'salary', 'password']);
/** A larger request is recorded by the names of its fields. */
const MAX_RECORDED_CHARACTERS = 16_384;

/**
 * The change and its audit entry as one statement: neither is kept without the other, and a change that met no row
 * logs nothing. Answers what the change returned.
 */
export function audited<Row>(change: OperationNodeSource, actor: Actor, entry: AuditEntry): Statement<Row> {
  const logged = insertEntry(actor, entry, 'changed');
  return tenantStatement(sql<Row>`WITH changed AS (${change}), logged AS (${logged}) SELECT * FROM changed`);
}

/** An entry of its own, for what changes no row. */
export function auditInsert(actor: Actor, entry: AuditEntry): Statement<object> {
  return insertEntry(actor, entry);
}

/** @param changed name of a part of the statement: an entry is written for each of its rows. */
function insertEntry(actor: Actor, entry: AuditEntry, changed?: 'changed') {
  const values = {
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
  const selections = Object.entries(values).map(([name, value]) => value.as(name));
  return anyTable
    .insertInto('audit_log')
    .columns(Object.keys(values))
    .expression(
      changed ? anyTable.selectFrom(changed).select(selections) : anyTable.selectNoFrom(selections),
    );
}

function recordable(data: unknown): string | null {
  if (data === undefined) return null;
  const text = JSON.stringify(data, (key, value) => (SECRET_FIELDS.has(key) ? '***' : value));
  if (text.length <= MAX_RECORDED_CHARACTERS) return text;
  return JSON.stringify({ fields: Object.keys(data as object) });
}

/** Who acts and from where, as the audit log names them. */
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
