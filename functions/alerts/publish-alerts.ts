import { sql } from 'kysely';
import type { RegistryExecutor } from '../registry/data-api.ts';
import { asText, now, rfc3339 } from '../registry/registry-expressions.ts';
import { registrySql } from '../registry/registry-sql.ts';
import { adviceFor } from './record-alerts.ts';

/** A message to the subscribers of the topic of alerts. */
export interface AlertNotice {
  readonly subject: string;
  readonly message: string;
}

/** @throws when the message was not accepted. */
export type PublishNotice = (notice: AlertNotice) => Promise<void>;

/** Messages of one run; the rest waits for the next one. */
const MESSAGES_OF_RUN = 200;

type Row = Awaited<ReturnType<typeof alertsToPublish>>[number];

/**
 * Publishes each alert once when it has opened and once when it has ended. A message that failed is repeated by the next
 * run; when a run dies between a message and its record, the message is sent twice.
 * @returns how many were sent, and the alerts whose message failed.
 * @throws {RegistryError}
 */
export async function publishAlerts(
  registry: RegistryExecutor,
  publish: PublishNotice,
): Promise<{ published: number; failed: { alertId: string; error: unknown }[] }> {
  const failed: { alertId: string; error: unknown }[] = [];
  let published = 0;
  for (const row of await alertsToPublish(registry)) {
    try {
      if (!row.was_published) {
        await publish(noticeOf(row, 'opened'));
        await record(registry, row.alert_id, 'published_at');
        published += 1;
      }
      if (row.status === 'resolved') {
        await publish(noticeOf(row, 'resolved'));
        await record(registry, row.alert_id, 'resolution_published_at');
        published += 1;
      }
    } catch (error) {
      failed.push({ alertId: row.alert_id, error });
    }
  }
  return { published, failed };
}

async function record(
  registry: RegistryExecutor,
  alertId: string,
  column: 'published_at' | 'resolution_published_at',
): Promise<void> {
  await registrySql(registry)
    .updateTable('alerts')
    .set({ [column]: now })
    .where('alert_id', '=', alertId)
    .execute();
}

function alertsToPublish(registry: RegistryExecutor) {
  return registrySql(registry)
    .selectFrom('alerts as a')
    .leftJoin('tenants as t', 't.tenant_id', 'a.tenant_id')
    .select(['a.alert_id', 'a.kind', 'a.severity', 'a.status', 'a.region', 'a.tenant_id', 'a.cell_id'])
    .select(['a.summary', 't.tenant_slug'])
    .select((eb) => [
      asText(eb.ref('a.details')).as('details'),
      rfc3339(eb.ref('a.opened_at'), 'MS').as('opened_at'),
      rfc3339(eb.ref('a.resolved_at'), 'MS').as('resolved_at'),
      sql<boolean>`a.published_at is not null`.as('was_published'),
    ])
    .where(
      sql<boolean>`(a.published_at is null or (a.status = 'resolved' and a.resolution_published_at is null))`,
    )
    .orderBy('a.opened_at')
    .orderBy('a.alert_id')
    .limit(MESSAGES_OF_RUN)
    .execute();
}

function noticeOf(row: Row, change: 'opened' | 'resolved'): AlertNotice {
  const about = row.tenant_slug ?? row.tenant_id ?? row.cell_id ?? row.region;
  const status = change === 'opened' ? row.severity.toUpperCase() : 'RESOLVED';
  return {
    subject: printable(`Strata ${status}: ${row.kind} ${about}`),
    message: [
      printable(row.summary),
      '',
      `kind: ${row.kind}`,
      `severity: ${row.severity}`,
      `region: ${row.region}`,
      ...(row.tenant_id ? [`tenant: ${row.tenant_slug ?? '-'} (${row.tenant_id})`] : []),
      ...(row.cell_id ? [`cell: ${row.cell_id}`] : []),
      `opened: ${row.opened_at}`,
      ...(change === 'resolved' ? [`resolved: ${row.resolved_at}`] : []),
      `details: ${row.details}`,
      ...(change === 'opened'
        ? ['', `What to do: ${adviceFor(row.kind)}`, `Acknowledge: POST /alerts/${row.alert_id}/acknowledge`]
        : []),
    ].join('\n'),
  };
}

/** A text with line breaks could forge lines of the message. SNS takes only ASCII in a subject. */
const printable = (text: string): string =>
  text.replace(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]+/gu, ' ').replace(/[^\x20-\x7e]/g, '?');
