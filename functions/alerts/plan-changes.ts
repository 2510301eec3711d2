/**
 * What a run changes: pure, of the alerts that are not resolved and of what the rules have found.
 *
 *   no alert ──found (raise)──▶ open ──found again──▶ refreshed ──not found, and looked for──▶ resolved
 *
 * Invariants: a condition has one alert; a finding that only keeps opens none; an alert whose source was not read in this
 * run keeps its state.
 */
import { ALERT_KINDS, type AlertKind, type Severity } from './alert-kinds.ts';
import { conditionOf, type Finding } from './finding.ts';

/** An alert that is open or acknowledged. */
export interface UnresolvedAlert {
  readonly alertId: string;
  readonly key: string;
  readonly kind: AlertKind;
  readonly tenantId: string | null;
  readonly cellId: string | null;
  /** Where the tenant is now: a cell's id, or its own for a database of its own; null when it is nowhere in the region. */
  readonly databaseKey: string | null;
}

/** What this run has read. */
export interface Observed {
  /** By key: the figures of that database. */
  readonly databases: ReadonlySet<string>;
  /** Databases that there are. An alert about another one ends. */
  readonly knownDatabases: ReadonlySet<string>;
  /** Those of `databases` whose statements were read. */
  readonly statements: ReadonlySet<string>;
  readonly tenants: ReadonlySet<string>;
  /** By cell. */
  readonly proxies: ReadonlySet<string>;
  /** Kinds whose rule failed, so that nothing is known about them. */
  readonly failedKinds: ReadonlySet<AlertKind>;
}

export interface AlertChanges {
  /** Opens an alert, or refreshes the condition's. */
  readonly raise: readonly (Finding & { readonly key: string; readonly severity: Severity })[];
  /** Refreshes an alert, and opens none. */
  readonly keep: readonly (Finding & { readonly key: string })[];
  readonly resolve: readonly string[];
}

export function planChanges(
  unresolved: readonly UnresolvedAlert[],
  findings: readonly Finding[],
  observed: Observed,
): AlertChanges {
  const byKey = new Map(findings.map((finding) => [conditionOf(finding), finding]));
  const raise: AlertChanges['raise'][number][] = [];
  const keep: AlertChanges['keep'][number][] = [];
  for (const [key, finding] of byKey) {
    const severity = finding.severity ?? ALERT_KINDS[finding.kind].severity;
    if (finding.level === 'raise') raise.push({ ...finding, key, severity });
    else keep.push({ ...finding, key });
  }
  const resolve = unresolved
    .filter((alert) => !byKey.has(alert.key) && wasLookedFor(alert, observed))
    .map(({ alertId }) => alertId);
  return { raise, keep, resolve };
}

function wasLookedFor({ kind, tenantId, cellId, databaseKey }: UnresolvedAlert, observed: Observed): boolean {
  // A kind of an earlier or later release: nobody looks for it here.
  if (!Object.hasOwn(ALERT_KINDS, kind)) return false;
  if (observed.failedKinds.has(kind)) return false;
  switch (ALERT_KINDS[kind].reads) {
    case 'registry':
      return true;
    case 'proxy':
      return cellId === null || observed.proxies.has(cellId) || !observed.knownDatabases.has(cellId);
    case 'tenant':
      // A tenant that is nowhere in the region was removed, or has left.
      return tenantId === null || databaseKey === null || observed.tenants.has(tenantId);
    case 'database': {
      const key = cellId ?? tenantId;
      if (key === null) return true;
      // The condition was in the database that the alert names, also when its tenant has left it.
      const read = kind === 'query-degradation' ? observed.statements : observed.databases;
      return read.has(key) || !observed.knownDatabases.has(key);
    }
  }
}
