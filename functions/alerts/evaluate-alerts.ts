import { readCells } from '../registry/cells.ts';
import type { RegistryExecutor } from '../registry/data-api.ts';
import { judgeAccess } from './access-patterns.ts';
import type { AlertKind } from './alert-kinds.ts';
import { judgeCell, recordCellUse } from './cell-use.ts';
import { judgeConnections } from './connections.ts';
import { judgeStorage } from './database-size.ts';
import { judgeWork, replicatingTenants } from './failed-work.ts';
import { type Finding, ofCell, ofTenant } from './finding.ts';
import { observedDatabase } from './observed-database.ts';
import { planChanges } from './plan-changes.ts';
import { judgeProxy, type ReadProxy } from './proxy-secrets.ts';
import { type PublishNotice, publishAlerts } from './publish-alerts.ts';
import { judgeReading } from './reading.ts';
import { readUnresolved, recordChanges } from './record-alerts.ts';
import { judgeSlots } from './replication-slots.ts';
import type { RegionSurvey } from './run-survey.ts';
import { followQueries, judgeQueries } from './slow-queries.ts';
import { judgeFences } from './stuck-fences.ts';
import { listSurveyedDatabases } from './surveyed-databases.ts';
import type { AlertThresholds } from './thresholds.ts';
import { judgeEvents } from './unpublished-events.ts';

export interface EvaluationOptions {
  readonly region: string;
  readonly thresholds: AlertThresholds;
  /** undefined when the survey failed: alerts about databases and tenants keep their state. */
  readonly survey: RegionSurvey | undefined;
  readonly readProxy: ReadProxy;
  readonly publish: PublishNotice;
  /** Called for each rule and each message that failed. */
  readonly onFailure: (failure: { readonly what: string; readonly error: unknown }) => void;
}

export interface EvaluationOutcome {
  readonly findings: number;
  readonly opened: number;
  readonly resolved: number;
  readonly published: number;
  readonly failures: number;
}

/**
 * Judges what was surveyed and what the registry has, opens, refreshes and resolves alerts, and publishes the changes. A
 * rule that fails leaves the alerts of its kinds as they are, and the others are evaluated. Safe to repeat.
 * @throws {RegistryError} the registry cannot be read.
 */
export async function evaluateAlerts(
  registry: RegistryExecutor,
  { region, thresholds, survey, readProxy, publish, onFailure }: EvaluationOptions,
): Promise<EvaluationOutcome> {
  const findings: Finding[] = [];
  const failedKinds = new Set<AlertKind>();
  const proxies = new Map<string, number | null>();
  let failures = 0;
  const fail = (what: string, error: unknown) => {
    failures += 1;
    onFailure({ what, error });
  };
  /** Runs a rule; `kinds` keep their state when it fails. */
  const rule = async (kinds: readonly AlertKind[], judge: () => Promise<Finding[]>) => {
    try {
      findings.push(...(await judge()));
    } catch (error) {
      for (const kind of kinds) failedKinds.add(kind);
      fail(kinds.join(', '), error);
    }
  };

  const databases = (survey?.databases ?? []).map(observedDatabase);
  const cells = (await readCells(registry)).filter((cell) => cell.region === region);
  await rule(WORK_KINDS, () => judgeWork(registry, thresholds));
  await rule(['events-unpublished'], () => judgeEvents(registry, thresholds));
  await rule(['access-reading'], () => judgeReading(registry, region, thresholds));
  await rule(['database-size'], () => judgeStorage(registry, measuredBytes(), thresholds));
  await rule(['replication-slot'], async () => {
    const replicating = await replicatingTenants(registry);
    return databases.flatMap((database) => judgeSlots(database, replicating, thresholds));
  });
  for (const database of databases) {
    findings.push(...judgeConnections(database, thresholds), ...judgeFences(database, thresholds));
    await rule(['query-degradation'], async () =>
      judgeQueries(database, await followQueries(registry, database, thresholds)),
    );
  }
  for (const tenant of survey?.access ?? []) findings.push(...judgeAccess(tenant, thresholds));
  for (const { cellId } of cells) {
    try {
      const { findings: found, secrets } = await judgeProxy(cellId, readProxy);
      findings.push(...found);
      proxies.set(cellId, secrets);
    } catch (error) {
      fail(`proxy of cell ${cellId}`, error);
    }
  }
  await rule(['cell-over-limits'], judgeCells);
  if (survey) {
    const observed = new Set(databases.map(({ key }) => key));
    for (const { key, cellId } of survey.unreachable) {
      if (!observed.has(key)) findings.push(unreachable(key, cellId));
    }
  }
  if (!survey?.done) failedKinds.add('database-unreachable');

  const changes = planChanges(await readUnresolved(registry), findings, {
    databases: new Set(databases.map(({ key }) => key)),
    statements: new Set(
      databases.flatMap(({ key, observation }) => (observation.statements === null ? [] : [key])),
    ),
    knownDatabases: await knownDatabases(registry, region),
    tenants: new Set(survey?.tenantsRead),
    proxies: new Set(proxies.keys()),
    failedKinds,
  });
  const recorded = await recordChanges(registry, region, changes);
  const { published, failed } = await publishAlerts(registry, publish);
  for (const { alertId, error } of failed) fail(`message about alert ${alertId}`, error);
  return { findings: findings.length, ...recorded, published, failures };

  function measuredBytes(): Map<string, number> {
    const tenants = databases.flatMap(({ observation }) => observation.tenantRoles);
    return new Map(tenants.flatMap(({ tenantId, bytes }) => (bytes === null ? [] : [[tenantId, bytes]])));
  }

  async function judgeCells(): Promise<Finding[]> {
    for (const { key, cellId, observation } of databases) {
      if (cellId) await recordCellUse(registry, key, observation, proxies.get(key) ?? null);
    }
    const now = await readCells(registry);
    return now.filter((cell) => cell.region === region).flatMap(judgeCell);
  }
}

const WORK_KINDS = [
  'move-failed',
  'move-mismatch',
  'restore-failed',
  'schema-rollout-failed',
  'backup-failed',
  'backup-overdue',
  'restore-drill-failed',
  'work-overdue',
  'work-failed',
] as const satisfies readonly AlertKind[];

function unreachable(key: string, cellId: string | null): Finding {
  return {
    kind: 'database-unreachable',
    ...(cellId ? ofCell(cellId) : ofTenant(key)),
    level: 'raise',
    summary: `${cellId ? `Cell ${cellId}` : 'A tenant’s own database'} cannot be reached as its owner.`,
    details: { database: key },
  };
}

const PAGE = 500;

async function knownDatabases(registry: RegistryExecutor, region: string): Promise<Set<string>> {
  const known = new Set<string>();
  let after: string | undefined;
  for (;;) {
    const page = await listSurveyedDatabases(registry, region, { after, limit: PAGE });
    for (const { key } of page) known.add(key);
    after = page.at(-1)?.key;
    if (page.length < PAGE) return known;
  }
}
