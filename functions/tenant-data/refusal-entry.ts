import { sql } from 'kysely';
import { type Statement, tenantStatement } from '../database/session/tenant-sql.ts';
import { type Actor, type AuditEntry, entryColumns } from './audit-log.ts';

/** At most so many entries of one user's refusals in an hour, … */
export const REFUSALS_PER_HOUR = 100;
/** … counted among so many of the user's latest entries, which bounds the count's own cost. */
const COUNTED_ENTRIES = 1_000;

/**
 * A separate entry for a request that was refused. A user's refusals fill the log by at most `REFUSALS_PER_HOUR` entries
 * in an hour (and a tenth of the user's entries, when there are more than a thousand); the last one of them says that
 * further ones are omitted. Requests that run at the same moment may each still count one less.
 */
export function refusalInsert(actor: Actor, entry: AuditEntry): Statement<object> {
  const { request_data: data, ...columns } = entryColumns(actor, entry);
  const refusals = sql`(
    SELECT count(*) AS refusals FROM (
      SELECT response_status FROM audit_log
      WHERE user_id = ${actor.userId ?? null}::uuid AND created_at > now() - interval '1 hour'
      ORDER BY created_at DESC LIMIT ${sql.lit(COUNTED_ENTRIES)}) AS latest
    WHERE response_status >= 400) AS recent`;
  const last = sql`recent.refusals = ${sql.lit(REFUSALS_PER_HOUR - 1)}`;
  const selections = Object.entries({
    ...columns,
    request_data: sql`CASE WHEN ${last} THEN ${data} || '{"furtherRefusalsOmitted": true}' ELSE ${data} END`,
  });
  const row = sql`SELECT ${sql.join(selections.map(([name, value]) => sql`${value} AS ${sql.id(name)}`))}
    FROM ${refusals} WHERE recent.refusals < ${sql.lit(REFUSALS_PER_HOUR)}`;
  const names = sql.join(selections.map(([name]) => sql.ref(name)));
  return tenantStatement(sql<object>`INSERT INTO ${sql.table('audit_log')} (${names}) ${row}`);
}
