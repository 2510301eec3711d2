import { evaluateAlerts } from '../../functions/alerts/evaluate-alerts.ts';
import type { AlertNotice } from '../../functions/alerts/publish-alerts.ts';
import { type RegionSurvey, runSurvey } from '../../functions/alerts/run-survey.ts';
import { surveyDatabases } from '../../functions/alerts/survey-databases.ts';
import { type AlertThresholds, THRESHOLDS } from '../../functions/alerts/thresholds.ts';
import type { asOwner } from '../../functions/database/session/owner-connection.ts';
import type { ProxyAuthState } from '../../functions/places/proxy-auth.ts';
import { connectAs, LOGINS } from '../database-server.ts';
import { MeteredWorld } from '../promotion/metered-world.ts';
import type { RegistryOverPostgres } from '../registry-over-postgres.ts';

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
  readonly registry?: RegistryOverPostgres;
}

const HEALTHY: ProxyAuthState = { secrets: 1, missing: [], authFailure: null };

/** Tenants in real databases, and runs of alerts over them. A tenant of one test is no tenant of another. */
export class AlertWorld {
  readonly metered: MeteredWorld;
  /** Messages that the topic took, oldest first. */
  readonly notices: AlertNotice[] = [];
  /** What the last run could not do. */
  readonly failures: string[] = [];

  private constructor(metered: MeteredWorld) {
    this.metered = metered;
  }

  static async create(): Promise<AlertWorld> {
    const world = new AlertWorld(await MeteredWorld.create());
    await world.metered.addCell('us-1');
    // What the metering's world leaves open: its tenants are no day old, but have no backup either.
    return world;
  }

  get registry(): RegistryOverPostgres {
    return this.metered.registry;
  }

  /** One scheduled run: surveys as the owner, judges, records and publishes. */
  async run({ thresholds = {}, mute = false, readProxy, registry = this.registry }: RunOptions = {}) {
    this.failures.length = 0;
    const limits = { ...THRESHOLDS, ...thresholds };
    return evaluateAlerts(registry, {
      region: 'us',
      thresholds: limits,
      survey: await this.survey(limits, registry),
      readProxy: readProxy ?? (async () => HEALTHY),
      publish: async (notice) => {
        if (mute) throw new Error('the topic does not take messages');
        this.notices.push(notice);
      },
      onFailure: ({ what, error }) => void this.failures.push(`${what}: ${(error as Error).message}`),
    });
  }

  survey(limits: AlertThresholds, registry = this.registry): Promise<RegionSurvey> {
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

  /** Alerts about the tenant or the cell, oldest first. */
  async alerts(about: string, kind?: string): Promise<AlertRow[]> {
    const rows = await this.registry.query<Omit<AlertRow, 'details'> & { details: string }>(
      `SELECT alert_id AS "alertId", kind, status, severity, tenant_id AS "tenantId", cell_id AS "cellId", summary,
              details::text AS details, published_at IS NOT NULL AS published,
              resolution_published_at IS NOT NULL AS "resolutionPublished"
       FROM alerts WHERE (tenant_id::text = :about OR (tenant_id IS NULL AND cell_id = :about))
         AND (:kind = '' OR kind = :kind) ORDER BY opened_at, alert_id`,
      { about, kind: kind ?? '' },
    );
    return rows.map((row) => ({ ...row, details: JSON.parse(row.details) }));
  }

  /** Subjects of the messages about an alert of that kind. */
  subjects(kind: string): string[] {
    return this.notices.map(({ subject }) => subject).filter((subject) => subject.includes(`: ${kind} `));
  }

  drop(): Promise<void> {
    return this.metered.drop();
  }
}

/** As production connects, but for the secret and TLS. */
const connectForTests: typeof asOwner = async ({ port, database }, work) => {
  const owner = await connectAs({ port }, LOGINS.owner, database);
  try {
    return await work(owner);
  } finally {
    await owner.end();
  }
};
