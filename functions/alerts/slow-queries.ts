/**
 * Degradation of statements against what they usually take.
 *
 * `pg_stat_statements` counts calls and time since its statistics began. A run compares its counters with those at the end
 * of the last window: enough calls in between make a window, whose mean is compared with the usual mean of earlier windows.
 *
 *   usual ──mean ≥ 3 × usual, and ≥ 50 ms──▶ degraded ──mean < 2 × usual──▶ usual
 *                                            degraded ──a day later, or no more calls──▶ usual
 *
 * Invariants: a degraded window is not added to the usual time, so the alert does not end by getting used to it, but after
 * a day (the new time is the usual one then). Counters that have become smaller were reset: the window begins at zero.
 *
 * Starter tenants share one role, so their statements are those of the cell.
 */
import { sql } from 'kysely';
import { isUuid } from '../contracts/tenant.ts';
import type { RegistryExecutor } from '../registry/data-api.ts';
import { presentTenants } from '../registry/present-tenants.ts';
import { jsonValue } from '../registry/registry-expressions.ts';
import { registrySql } from '../registry/registry-sql.ts';
import { type Finding, ofCell, ofTenant } from './finding.ts';
import type { ObservedDatabase } from './observed-database.ts';
import type { DatabaseObservation } from './survey-database.ts';
import type { AlertThresholds } from './thresholds.ts';

type Observed = NonNullable<DatabaseObservation['statements']>['top'][number];

/** A row of `query_baselines`. Times of day are milliseconds since 1970. */
export interface QueryBaseline {
  readonly role: string;
  readonly queryId: string;
  readonly calls: number;
  readonly totalMs: number;
  readonly baselineCalls: number;
  readonly baselineMs: number;
  readonly degradedSince: number | null;
  readonly windowMeanMs: number | null;
  readonly windowEndedAt: number;
}

const keyOf = ({ role, queryId }: { readonly role: string; readonly queryId: string }): string =>
  `${role} ${queryId}`;

/** The row after this run. @param now milliseconds since 1970. */
export function nextBaseline(
  before: QueryBaseline | undefined,
  { role, queryId, calls, totalMs }: Observed,
  { queries: limits }: AlertThresholds,
  now: number,
): QueryBaseline {
  if (!before) {
    // What the server has counted before the first run is the usual time.
    const usual = { baselineCalls: calls, baselineMs: totalMs };
    return {
      ...{ role, queryId, calls, totalMs, ...usual },
      degradedSince: null,
      windowMeanMs: null,
      windowEndedAt: now,
    };
  }
  const wasReset = calls < before.calls;
  const windowCalls = wasReset ? calls : calls - before.calls;
  const windowMs = wasReset ? totalMs : totalMs - before.totalMs;
  const elapsedSeconds = (now - before.windowEndedAt) / 1000;
  if (windowCalls < limits.callsOfWindow) {
    const isIdle = elapsedSeconds >= limits.idleSeconds;
    return isIdle ? { ...before, degradedSince: null } : before;
  }
  const mean = windowMs / windowCalls;
  const usualMean = before.baselineCalls > 0 ? before.baselineMs / before.baselineCalls : 0;
  const times = before.degradedSince === null ? limits.factor.raise : limits.factor.clear;
  const isDegraded =
    before.baselineCalls >= limits.callsOfBaseline && mean >= limits.atLeastMs && mean >= times * usualMean;
  const window = { role, queryId, calls, totalMs, windowMeanMs: mean, windowEndedAt: now };
  if (isDegraded) {
    const since = before.degradedSince ?? now;
    if ((now - since) / 1000 < limits.acceptedAfterSeconds) {
      const { baselineCalls, baselineMs } = before;
      return { ...window, baselineCalls, baselineMs, degradedSince: since };
    }
    return { ...window, baselineCalls: windowCalls, baselineMs: windowMs, degradedSince: null };
  }
  const kept = Math.exp(-elapsedSeconds / limits.memorySeconds);
  return {
    ...window,
    baselineCalls: before.baselineCalls * kept + windowCalls,
    baselineMs: before.baselineMs * kept + windowMs,
    degradedSince: null,
  };
}

/** Statements in the details of an alert. */
const NAMED = 5;

/** One finding for each tenant, and one for the Starter tenants of a cell. */
export function judgeQueries(
  { key, cellId, observation, tenantOf }: ObservedDatabase,
  baselines: readonly QueryBaseline[],
): Finding[] {
  const texts = new Map(observation.statements?.top.map((one) => [keyOf(one), one.text]));
  const degraded = Map.groupBy(
    baselines.filter(({ degradedSince }) => degradedSince !== null),
    ({ role }) => tenantOf(role) ?? (cellId ? null : key),
  );
  return [...degraded].map(([tenantId, statements]) => {
    const worst = statements
      .map((one) => ({
        queryId: one.queryId,
        statement: texts.get(keyOf(one)) ?? null,
        meanMs: rounded(one.windowMeanMs ?? 0),
        usualMs: rounded(one.baselineMs / one.baselineCalls),
      }))
      .sort((one, other) => other.meanMs / other.usualMs - one.meanMs / one.usualMs);
    const [first] = worst;
    return {
      kind: 'query-degradation',
      ...(tenantId === null ? ofCell(cellId as string) : ofTenant(tenantId)),
      ...(cellId ? { cellId } : {}),
      level: 'raise',
      summary: `${worst.length} ${worst.length === 1 ? 'statement takes' : 'statements take'} longer than usual; the worst ${first?.meanMs} ms instead of ${first?.usualMs} ms.`,
      details: { database: key, statements: worst.slice(0, NAMED) },
    };
  });
}

const rounded = (ms: number): number => Math.round(ms * 100) / 100;

/**
 * Compares the database's statements with their baselines, and stores the new ones.
 * @returns all baselines of statements that were observed. @throws {RegistryError}
 */
export async function followQueries(
  registry: RegistryExecutor,
  { key, observation }: Pick<ObservedDatabase, 'key' | 'observation'>,
  thresholds: AlertThresholds,
  now: number = Date.now(),
): Promise<QueryBaseline[]> {
  if (!observation.statements) return [];
  const stored = new Map((await readBaselines(registry, key)).map((row) => [keyOf(row), row]));
  const observed = observation.statements.top;
  const next = observed.map((one) => nextBaseline(stored.get(keyOf(one)), one, thresholds, now));
  await storeBaselines(registry, key, next);
  return next;
}

async function readBaselines(registry: RegistryExecutor, key: string): Promise<QueryBaseline[]> {
  const ms = (column: string) =>
    sql<number>`cast(extract(epoch from ${sql.ref(column)}) * 1000 as double precision)`;
  return registrySql(registry)
    .selectFrom('query_baselines')
    .select(['role_name as role', 'query_id as queryId', 'calls', 'total_ms as totalMs'])
    .select(['baseline_calls as baselineCalls', 'baseline_ms as baselineMs'])
    .select([
      sql<number | null>`cast(extract(epoch from degraded_since) * 1000 as double precision)`.as(
        'degradedSince',
      ),
      'window_mean_ms as windowMeanMs',
      ms('window_ended_at').as('windowEndedAt'),
    ])
    .where('database_key', '=', key)
    .orderBy('seen_at', 'desc')
    .limit(MOST_ROWS)
    .execute();
}

/** An answer of the Data API takes 1 MiB. */
const MOST_ROWS = 3_000;

/** Statements that were not seen for so long are forgotten. */
const FORGOTTEN_AFTER = sql.lit('14 days');
const ROWS_OF_STATEMENT = 300;

/** The id in the name of a tenant's role. */
const TENANT_IN_NAME = sql.lit('[0-9a-f]{32}');

/** Stores nothing of a tenant whose erasure has begun since the survey. */
async function storeBaselines(
  registry: RegistryExecutor,
  key: string,
  baselines: readonly QueryBaseline[],
): Promise<void> {
  const db = registrySql(registry);
  const owner = sql`cast(${isUuid(key) ? key : null} as uuid)`;
  for (let first = 0; first < baselines.length; first += ROWS_OF_STATEMENT) {
    const rows = jsonValue(baselines.slice(first, first + ROWS_OF_STATEMENT));
    await sql`
      with observed as (
        select b.*, coalesce(${owner}, cast(substring(b.role from ${TENANT_IN_NAME}) as uuid)) as tenant_id
          from jsonb_to_recordset(${rows}) as b (role text, "queryId" text, calls float8, "totalMs" float8,
               "baselineCalls" float8, "baselineMs" float8, "degradedSince" float8, "windowMeanMs" float8,
               "windowEndedAt" float8)),
      present as materialized (${presentTenants(sql`select o.tenant_id from observed as o`)})
      insert into query_baselines as q (database_key, role_name, query_id, calls, total_ms, baseline_calls, baseline_ms,
                                        degraded_since, window_mean_ms, window_ended_at)
      select ${key}, r.role, r."queryId", r.calls, r."totalMs", r."baselineCalls", r."baselineMs",
             to_timestamp(r."degradedSince" / 1000), r."windowMeanMs", to_timestamp(r."windowEndedAt" / 1000)
        from observed as r
       where r.tenant_id is null or r.tenant_id in (select p.tenant_id from present as p)
      on conflict (database_key, role_name, query_id) do update set
        calls = excluded.calls, total_ms = excluded.total_ms, baseline_calls = excluded.baseline_calls,
        baseline_ms = excluded.baseline_ms, degraded_since = excluded.degraded_since,
        window_mean_ms = excluded.window_mean_ms, window_ended_at = excluded.window_ended_at, seen_at = now()`.execute(
      db,
    );
  }
  await sql`delete from query_baselines where database_key = ${key} and seen_at < now() - ${FORGOTTEN_AFTER}::interval`.execute(
    db,
  );
}
