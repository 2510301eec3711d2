import { expect } from 'vitest';
import type { AlertKind } from '../../functions/alerts/alert-kinds.ts';
import { evaluateAlerts } from '../../functions/alerts/evaluate-alerts.ts';
import type { AlertNotice } from '../../functions/alerts/publish-alerts.ts';
import { type RegionSurvey, runSurvey } from '../../functions/alerts/run-survey.ts';
import { surveyDatabases } from '../../functions/alerts/survey-databases.ts';
import { type AlertThresholds, type OverdueWork, THRESHOLDS } from '../../functions/alerts/thresholds.ts';
import type { asOwner } from '../../functions/database/session/owner-connection.ts';
import type { ProxyAuthState } from '../../functions/places/proxy-auth.ts';
import type { RegistryExecutor } from '../../functions/registry/data-api.ts';
import { connectAs, LOGINS } from '../database-server.ts';

export interface AlertRow {
  readonly alertId: string;
  readonly kind: string;
  readonly status: 'open' | 'acknowledged' | 'resolved';
  readonly severity: string;
  readonly tenantId: string | null;
  readonly cellId: string | null;
  readonly summary: string;
  readonly details: Record<string, unknown>;
  readonly published: boolean;
  readonly resolutionPublished: boolean;
}

export interface RunOptions {
  readonly thresholds?: Partial<AlertThresholds>;
  /** The topic does not take messages. */
  readonly mute?: boolean;
  readonly readProxy?: (cellId: string) => Promise<ProxyAuthState>;
  readonly registry?: RegistryExecutor;
}

/** An alert whose condition is there. */
export interface OpenAlert {
  /** The tenant's or the cell's id; empty for an alert about neither. */
  readonly about: string;
  readonly kind: AlertKind;
  /** Of the work that the alert is about, where there are several such alerts. */
  readonly id?: string;
  readonly run?: RunOptions;
}

const HEALTHY: ProxyAuthState = { secrets: 1, missing: [], authFailure: null };

/** Runs of the alerts of region `us` over the registry of a test, by the functions that the schedule's task calls. */
export class AlertRuns {
  /** Messages that the topic took, oldest first. */
  readonly notices: AlertNotice[] = [];
  /** What the last run could not do. */
  readonly failures: string[] = [];
  readonly #registry: RegistryExecutor;
  readonly #surveysDatabases: boolean;

  /**
   * @param surveysDatabases false: no database is read, which is enough for the kinds that read the registry or a proxy.
   *   Alerts about databases and tenants then keep their state.
   */
  constructor(registry: RegistryExecutor, { surveysDatabases = false } = {}) {
    this.#registry = registry;
    this.#surveysDatabases = surveysDatabases;
  }

  /** One scheduled run: surveys as the owner, judges, records and publishes. */
  async run({ thresholds = {}, mute = false, readProxy, registry = this.#registry }: RunOptions = {}) {
    this.failures.length = 0;
    const limits = { ...THRESHOLDS, ...thresholds };
    return evaluateAlerts(registry, {
      region: 'us',
      thresholds: limits,
      survey: this.#surveysDatabases ? await this.survey(limits, registry) : undefined,
      readProxy: readProxy ?? (async () => HEALTHY),
      publish: async (notice) => {
        if (mute) throw new Error('the topic does not take messages');
        this.notices.push(notice);
      },
      onFailure: ({ what, error }) => void this.failures.push(`${what}: ${(error as Error).message}`),
    });
  }

  survey(limits: AlertThresholds, registry = this.#registry): Promise<RegionSurvey> {
    return runSurvey(
      ({ cursor, floors }) =>
        surveyDatabases(registry, {
          region: 'us',
          cursor,
          floors,
          deadline: performance.now() + 30_000,
          onSkipped: ({ error, ...what }) =>
            void this.failures.push(`${JSON.stringify(what)}: ${(error as Error).message}`),
          connect: connectForTests,
        }),
      limits.access,
      () => true,
    );
  }

  /** Alerts about the tenant, the cell or, when empty, neither of them; oldest first. */
  async alerts(about: string, kind?: string): Promise<AlertRow[]> {
    const rows = await this.#registry.query<Omit<AlertRow, 'details'> & { details: string }>(
      `SELECT alert_id AS "alertId", kind, status, severity, tenant_id AS "tenantId", cell_id AS "cellId", summary,
              details::text AS details, published_at IS NOT NULL AS published,
              resolution_published_at IS NOT NULL AS "resolutionPublished"
       FROM alerts WHERE (tenant_id::text = :about OR (tenant_id IS NULL AND coalesce(cell_id, '') = :about))
         AND (:kind = '' OR kind = :kind) ORDER BY opened_at, alert_id`,
      { about, kind: kind ?? '' },
    );
    return rows.map((row) => ({ ...row, details: JSON.parse(row.details) }));
  }

  /** Subjects of the messages about an alert of that kind. @param about the tenant's or the cell's id; absent: any */
  subjects(kind: string, about = ''): string[] {
    const those = this.notices.filter(
      ({ subject, message }) => subject.includes(`: ${kind} `) && message.includes(about),
    );
    return those.map(({ subject }) => subject);
  }

  /** Two runs open one alert, and publish it once. Call it once per tenant or cell and kind. @returns the alert */
  async opensOnce(alert: OpenAlert): Promise<AlertRow> {
    for (let times = 0; times < 2; times++) await this.run(alert.run);
    expect(this.failures).toEqual([]);
    const open = await this.#found(alert);
    expect(open).toMatchObject([{ status: 'open', published: true, resolutionPublished: false }]);
    expect(this.#published(alert)).toHaveLength(1);
    return open[0]!;
  }

  /** The next run ends the alert of `opensOnce`, and publishes that. */
  async ends(alert: OpenAlert): Promise<void> {
    await this.run(alert.run);
    expect(this.failures).toEqual([]);
    expect(await this.#found(alert)).toMatchObject([
      { status: 'resolved', published: true, resolutionPublished: true },
    ]);
    expect(this.#published(alert).map((subject) => subject.split(':')[0])).toEqual([
      expect.stringMatching(/^Strata (WARNING|CRITICAL)$/),
      'Strata RESOLVED',
    ]);
  }

  async #found({ about, kind, id }: OpenAlert): Promise<AlertRow[]> {
    const found = await this.alerts(about, kind);
    return found.filter(({ details }) => id === undefined || details.id === id);
  }

  #published({ about, kind, id = about }: OpenAlert): string[] {
    return this.subjects(kind, id);
  }

  /** @param end ends the condition, which is there when this is called. @returns the alert while it was open */
  async opensOnceAndEnds({ end, ...alert }: OpenAlert & { end: () => Promise<unknown> }): Promise<AlertRow> {
    const open = await this.opensOnce(alert);
    await end();
    await this.ends(alert);
    return open;
  }
}

/** With other numbers of one rule. */
export const withThresholds = <Part extends keyof AlertThresholds>(
  part: Part,
  values: Partial<AlertThresholds[Part]>,
): RunOptions => ({ thresholds: { [part]: { ...(THRESHOLDS[part] as object), ...values } } });

/** Work of that kind is overdue from its start. */
export const overdueAtOnce = (work: OverdueWork): RunOptions =>
  withThresholds('overdueSeconds', { [work]: 0 });

/** As production connects, but for the secret and TLS. */
const connectForTests: typeof asOwner = async ({ port, database }, work) => {
  const owner = await connectAs({ port }, LOGINS.owner, database);
  try {
    return await work(owner);
  } finally {
    await owner.end();
  }
};
