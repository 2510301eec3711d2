import { type InferResult, sql } from 'kysely';
import { ResourceConflict, ResourceNotFound } from '../resources/errors.ts';
import { comparePositions, type PageRequest, type Position, readCursor } from '../resources/keyset-page.ts';
import { askRegions, type Regions } from './ask-region.ts';
import { recordAudit } from './audit-log.ts';
import type { DataApi, RegistryExecutor } from './data-api.ts';
import { parseJson } from './registry-column.ts';
import { asText, columnValue, now, rfc3339 } from './registry-expressions.ts';
import { isCut, pageOfBoundedRows, readBoundedRows } from './registry-page.ts';
import { compilingOnly, type RegistrySql, registrySql } from './registry-sql.ts';

export const ALERT_STATUSES = ['open', 'acknowledged', 'resolved'] as const;

/** An alert as the API shows it. */
export interface AlertView {
  readonly alertId: string;
  /** What it is about, such as `move-failed`. */
  readonly kind: string;
  readonly severity: 'warning' | 'critical';
  readonly status: (typeof ALERT_STATUSES)[number];
  /** Key of the region that watches. */
  readonly region: string;
  readonly tenantId: string | null;
  readonly cellId: string | null;
  readonly summary: string;
  /** Figures of the last run that found the condition; their names depend on the kind. */
  readonly details: Readonly<Record<string, unknown>>;
  readonly openedAt: string;
  /** The last run that found the condition. */
  readonly lastSeenAt: string;
  readonly acknowledgedAt: string | null;
  readonly acknowledgedBy: string | null;
  readonly resolvedAt: string | null;
}

const selectAlerts = (db: RegistrySql) =>
  db
    .selectFrom('alerts as a')
    .select(['a.alert_id', 'a.kind', 'a.severity', 'a.status', 'a.region', 'a.tenant_id', 'a.cell_id'])
    .select(['a.summary', 'a.acknowledged_by'])
    .select((eb) => [
      asText(eb.ref('a.details')).as('details'),
      rfc3339(eb.ref('a.opened_at')).as('opened_at'),
      rfc3339(eb.ref('a.last_seen_at')).as('last_seen_at'),
      rfc3339(eb.ref('a.acknowledged_at')).as('acknowledged_at'),
      rfc3339(eb.ref('a.resolved_at')).as('resolved_at'),
    ]);

type Row = InferResult<ReturnType<typeof selectAlerts>>[number];

/** Each filter that is given must match. */
export interface AlertFilter {
  readonly status?: AlertView['status'] | undefined;
  readonly kind?: string | undefined;
  readonly tenantId?: string | undefined;
  readonly cellId?: string | undefined;
}

/** One page of the alerts of all regions, newest first. @throws {InvalidCursor | RegionUnavailable} */
export async function listAlerts(registries: Regions, filter: AlertFilter, page: PageRequest) {
  const position = page.cursor === undefined ? undefined : readCursor(page.cursor);
  let select = selectAlerts(compilingOnly).orderBy('a.opened_at', 'desc').orderBy('a.alert_id', 'desc');
  if (filter.status !== undefined) select = select.where('a.status', '=', filter.status);
  if (filter.kind !== undefined) select = select.where('a.kind', '=', filter.kind);
  if (filter.tenantId !== undefined) select = select.where('a.tenant_id', '=', filter.tenantId);
  if (filter.cellId !== undefined) select = select.where('a.cell_id', '=', filter.cellId);
  if (position) {
    select = select.where((eb) =>
      eb(
        eb.refTuple('a.opened_at', 'a.alert_id'),
        '<',
        eb.tuple(columnValue('alerts.opened_at', position.time), position.id),
      ),
    );
  }
  const order = sql`opened_at desc, alert_id desc`;
  const lists = await askRegions(registries, registries.keys, (registry) =>
    readBoundedRows(registry, { select, order }, page),
  );
  const positionOf = (row: Row): Position => ({ time: row.opened_at, id: row.alert_id });
  const newestFirst = lists.flat().sort((a, b) => comparePositions(positionOf(b), positionOf(a)));
  return pageOfBoundedRows(newestFirst, page, positionOf, toView, lists.some(isCut));
}

/** The alert, and the region whose registry has it. @throws {ResourceNotFound | RegionUnavailable} */
export async function findAlert(
  registries: Regions,
  alertId: string,
): Promise<{ readonly alert: AlertView; readonly region: string }> {
  const found = await askRegions(registries, registries.keys, (registry) => readAlert(registry, alertId));
  const index = found.findIndex((alert) => alert !== undefined);
  if (index === -1) throw new ResourceNotFound('no such alert');
  return { alert: found[index] as AlertView, region: registries.keys[index] as string };
}

async function readAlert(registry: RegistryExecutor, alertId: string): Promise<AlertView | undefined> {
  const row = await selectAlerts(registrySql(registry)).where('a.alert_id', '=', alertId).executeTakeFirst();
  return row && toView(row);
}

/**
 * Records that an operator looks after the alert. It stays until its condition has ended. Acknowledging it again changes
 * nothing: the first operator stays.
 * @throws {ResourceNotFound | ResourceConflict (it is resolved)}
 */
export async function acknowledgeAlert(
  registry: Pick<DataApi, 'transaction'>,
  alertId: string,
  operator: string,
): Promise<AlertView> {
  return registry.transaction(async (transaction) => {
    const changed = await registrySql(transaction)
      .updateTable('alerts')
      .set({ status: 'acknowledged', acknowledged_at: now, acknowledged_by: operator })
      .where('alert_id', '=', alertId)
      .where('status', '=', 'open')
      .returning(['tenant_id', 'kind'])
      .executeTakeFirst();
    const alert = await readAlert(transaction, alertId);
    if (!alert) throw new ResourceNotFound('no such alert');
    if (changed) {
      await recordAudit(transaction, {
        actor: { id: operator, type: 'operator' },
        action: 'alert.acknowledge',
        tenantId: changed.tenant_id,
        resource: { type: 'alert', id: alertId },
        data: { kind: changed.kind },
      });
    } else if (alert.status === 'resolved') {
      throw new ResourceConflict('The alert is resolved: its condition has ended.');
    }
    return alert;
  });
}

function toView(row: Row): AlertView {
  return {
    alertId: row.alert_id,
    kind: row.kind,
    severity: row.severity,
    status: row.status,
    region: row.region,
    tenantId: row.tenant_id,
    cellId: row.cell_id,
    summary: row.summary,
    details: parseJson(row.details),
    openedAt: row.opened_at,
    lastSeenAt: row.last_seen_at,
    acknowledgedAt: row.acknowledged_at,
    acknowledgedBy: row.acknowledged_by,
    resolvedAt: row.resolved_at,
  };
}
