import { type OperationNodeSource, type RawBuilder, sql } from 'kysely';
import type { Statement } from '../database/session/tenant-session.ts';
import { tenantSql } from '../database/session/tenant-sql.ts';
import type { Actor } from './actor.ts';

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
  const statement = sql<Row>`WITH changed AS (${change}), logged AS (${insertEntry(actor, entry, sql`FROM changed`)})
    SELECT * FROM changed`;
  return { compile: () => statement.compile(tenantSql) };
}

/** An entry of its own, for what changes no row. */
export function auditInsert(actor: Actor, entry: AuditEntry): Statement<object> {
  const statement = insertEntry(actor, entry, sql``);
  return { compile: () => statement.compile(tenantSql) };
}

function insertEntry(actor: Actor, entry: AuditEntry, source: RawBuilder<unknown>): RawBuilder<object> {
  return sql<object>`INSERT INTO audit_log
      (user_id, actor, action, resource_type, resource_id, ip_address, user_agent, request_data, response_status)
    SELECT ${actor.userId ?? null}::uuid, ${`${actor.kind}:${actor.name}`}::text, ${entry.action}::text,
      ${entry.resourceType}::text, ${entry.resourceId ?? null}::uuid, ${actor.ipAddress ?? null}::inet,
      ${actor.userAgent ?? null}::text, ${recordable(entry.requestData)}::jsonb, ${entry.responseStatus}::integer
    ${source}`;
}

function recordable(data: unknown): string | null {
  if (data === undefined) return null;
  const text = JSON.stringify(data, (key, value) => (SECRET_FIELDS.has(key) ? '***' : value));
  if (text.length <= MAX_RECORDED_CHARACTERS) return text;
  return JSON.stringify({ fields: Object.keys(data as object) });
}
