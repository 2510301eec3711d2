/** The queries over the log of requests, one line for each (`functions/http/request-log.ts`). */
import { MOST_LOG_ROWS } from '../aws/log-queries.ts';
import { REQUEST_LINE } from '../contracts/request-line.ts';
import { isUuid } from '../contracts/tenant.ts';

/** Sums of a tenant's requests in a time; milliseconds and bytes are whole. */
export interface RequestFigures {
  readonly tenantId: string;
  readonly requests: number;
  /** Requests whose answer was a 5xx. */
  readonly errors: number;
  readonly requestMs: number;
  readonly databaseMs: number;
  readonly bytesIn: number;
  readonly bytesOut: number;
}

/** Users of a tenant with a request in a time. */
export interface ActingUsers {
  readonly tenantId: string;
  readonly users: number;
}

/** Runs one query over the lines from one time to another (exclusive), both in milliseconds since the epoch. */
export type AskLog = (query: string, from: number, to: number) => Promise<readonly Record<string, string>[]>;

/** @throws what `ask` throws. */
export async function requestFigures(ask: AskLog, from: number, to: number): Promise<RequestFigures[]> {
  const rows = await perTenant(ask, from, to, [
    'count(*) as requests',
    'sum(errors) as failures',
    'sum(durationMs) as requestTime',
    'sum(databaseMs) as databaseTime',
    'sum(bytesIn) as received',
    'sum(bytesOut) as sent',
  ]);
  return rows.map((row) => ({
    tenantId: row.tenantId ?? '',
    requests: whole(row.requests),
    errors: whole(row.failures),
    requestMs: whole(row.requestTime),
    databaseMs: whole(row.databaseTime),
    bytesIn: whole(row.received),
    bytesOut: whole(row.sent),
  }));
}

/** Counted by Logs Insights, approximately where a tenant has many. @throws what `ask` throws. */
export async function actingUsers(ask: AskLog, from: number, to: number): Promise<ActingUsers[]> {
  const rows = await perTenant(ask, from, to, ['count_distinct(actor) as users']);
  return rows.map((row) => ({ tenantId: row.tenantId ?? '', users: whole(row.users) }));
}

/**
 * One row for each tenant. A result has a limited number of rows, so when it is reached the tenants are asked for in
 * sixteen parts, by the first digit of their ids.
 */
async function perTenant(
  ask: AskLog,
  from: number,
  to: number,
  sums: readonly string[],
  prefix = '',
): Promise<Record<string, string>[]> {
  const query = [
    `filter message = "${REQUEST_LINE}" and ispresent(tenantId) and at >= ${from} and at < ${to}`,
    ...(prefix === '' ? [] : [`filter tenantId like /^${prefix}/`]),
    `stats ${sums.join(', ')} by tenantId`,
    `limit ${MOST_LOG_ROWS}`,
  ].join(' | ');
  const rows = await ask(query, from, to);
  if (rows.length < MOST_LOG_ROWS) return rows.filter(({ tenantId = '' }) => isUuid(tenantId));
  const parts: Record<string, string>[][] = [];
  for (const digit of '0123456789abcdef') {
    parts.push(await perTenant(ask, from, to, sums, `${prefix}${digit}`));
  }
  return parts.flat();
}

function whole(text: string | undefined): number {
  const value = Number(text ?? 0);
  return Number.isFinite(value) ? Math.max(0, Math.round(value)) : 0;
}
