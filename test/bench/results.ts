import type { HandlerBundles } from './handler-bundles.ts';
import type { HttpRequests } from './http-requests.ts';
import type { Timing } from './interleave.ts';
import { atMost, fasterBy, ms, type Result, times } from './result-table.ts';
import type { SessionCost, SessionCosts } from './session-cost.ts';
import type { TenantCount, TenantCounts } from './tenant-counts.ts';

const kilobytes = (bytes: number) => `${Math.round(bytes / 1_000)} KB`;

export function sessionResults({ direct, delayed, addedMs }: SessionCosts): Result[] {
  return [
    ...direct.flatMap((cost) => costResults(cost, '+ 0 ms', { read: 1.6 }, undefined)),
    ...delayed.flatMap((cost) =>
      costResults(cost, `+ ${addedMs.toFixed(2)} ms`, { read: 1.1, write: 1.2 }, 3.5),
    ),
  ];
}

function costResults(
  { model, access, timings }: SessionCost,
  delay: string,
  limits: { readonly read?: number; readonly write?: number },
  faster: number | undefined,
): Result[] {
  const { raw, session, fallback, sequential } = timings;
  const what = `${access} by key, ${model}, ${delay}`;
  return [
    {
      what: `${what}: session`,
      measured: ms(session.p50),
      against: `raw query ${ms(raw.p50)}`,
      ...atMost(session.p50 / raw.p50, limits[access]),
    },
    {
      what: `${what}: session`,
      measured: ms(session.p50),
      against: `sequential ${ms(sequential.p50)}`,
      ...fasterBy(sequential.p50 / session.p50, access === 'read' ? faster : undefined),
    },
    {
      what: `${what}: without pipelining`,
      measured: ms(fallback.p50),
      against: `raw query ${ms(raw.p50)}`,
      ...atMost(fallback.p50 / raw.p50, undefined),
    },
  ];
}

export function bundleResults({ ours, peer }: HandlerBundles): Result[] {
  return [
    {
      what: 'people function: code loaded before the first request',
      measured: kilobytes(ours.bytes),
      against: `express + serverless-http + knex ${kilobytes(peer.bytes)}`,
      ratio: times(ours.bytes / peer.bytes),
      target: '≤ 400 KB',
      met: ours.bytes <= 400_000 ? 'yes' : 'no',
    },
    {
      what: 'people function: import in a fresh process',
      measured: ms(ours.importMs),
      against: `express + serverless-http + knex ${ms(peer.importMs)}`,
      ...fasterBy(peer.importMs / ours.importMs, 1.8),
    },
  ];
}

export function tenantCountResults({ counts, createSchemaMs }: TenantCounts): Result[] {
  const described = (count: TenantCount) =>
    `${count.tenants.toLocaleString('en')} ${count.kind === 'business' ? 'Business schemas' : 'Starter tenants'}`;
  const results = counts.flatMap((count) => {
    const [fewest] = counts.filter(({ kind }) => kind === count.kind) as [TenantCount];
    if (fewest === count) return [];
    return {
      what: `request of 10 active tenants among ${described(count)}`,
      measured: ms(count.timing.p50),
      against: `among ${fewest.tenants} ${ms(fewest.timing.p50)}`,
      ...atMost(count.timing.p50 / fewest.timing.p50, 1.15),
    };
  });
  const creation = {
    what: 'creating one more Business schema, at the end',
    measured: ms(createSchemaMs.last),
    against: `at the beginning ${ms(createSchemaMs.first)}`,
    ...atMost(createSchemaMs.last / createSchemaMs.first, undefined),
  };
  return [...results, creation];
}

export function httpResults(requests: readonly HttpRequests[]): Result[] {
  const both = ({ p50, p95 }: Timing) => `${ms(p50)} (p95 ${ms(p95)})`;
  return requests.flatMap(({ slug, model, alone, eightAtOnce, rawQuery }) => [
    {
      what: `GET /employees/{id}, ${model} (${slug}), one at a time`,
      measured: both(alone),
      against: `raw query ${ms(rawQuery.p50)}`,
      ...atMost(alone.p50 / rawQuery.p50, undefined),
    },
    {
      what: `GET /employees/{id}, ${model} (${slug}), eight at a time`,
      measured: both(eightAtOnce),
      against: `one at a time ${ms(alone.p50)}`,
      ...atMost(eightAtOnce.p50 / alone.p50, undefined),
    },
  ]);
}
