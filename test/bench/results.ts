import type { HandlerBundles } from './handler-bundles.ts';
import type { HttpRequests } from './http-requests.ts';
import type { Timing } from './interleave.ts';
import type { SessionCost, SessionCosts } from './session-cost.ts';
import type { TenantCount, TenantCounts } from './tenant-counts.ts';

/** One line of the table. `ratio` is by which factor `measured` stands to `against`, or the other way where told. */
export interface Result {
  readonly what: string;
  readonly measured: string;
  readonly against: string;
  readonly ratio: string;
  readonly target: string;
  readonly met: '' | 'yes' | 'no';
}

const ms = (value: number) => `${value < 10 ? value.toFixed(3) : value.toFixed(1)} ms`;
/** Digits enough to see on which side of a target it is. */
const times = (factor: number) => `${factor.toFixed(factor < 2 ? 3 : 2)}×`;
const kilobytes = (bytes: number) => `${Math.round(bytes / 1_000)} KB`;

function atMost(factor: number, limit: number | undefined): Pick<Result, 'ratio' | 'target' | 'met'> {
  if (limit === undefined) return { ratio: times(factor), target: '', met: '' };
  return { ratio: times(factor), target: `≤ ${limit}×`, met: factor <= limit ? 'yes' : 'no' };
}

function fasterBy(factor: number, limit: number | undefined): Pick<Result, 'ratio' | 'target' | 'met'> {
  if (limit === undefined) return { ratio: `${times(factor)} faster`, target: '', met: '' };
  return {
    ratio: `${times(factor)} faster`,
    target: `≥ ${limit}× faster`,
    met: factor >= limit ? 'yes' : 'no',
  };
}

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

/** As a table of Markdown, which is also what the console shows. */
export function table(results: readonly Result[]): string {
  const rows = [
    ['', 'p50', 'against', 'ratio', 'target', 'met'],
    ...results.map(({ what, measured, against, ratio, target, met }) => [
      what,
      measured,
      against,
      ratio,
      target,
      met,
    ]),
  ];
  const widths =
    rows[0]?.map((_, column) => Math.max(3, ...rows.map((row) => row[column]?.length ?? 0))) ?? [];
  const line = (cells: readonly string[]) =>
    `| ${cells.map((cell, column) => cell.padEnd(widths[column] ?? 0)).join(' | ')} |`;
  const [head = [], ...body] = rows;
  return [line(head), line(widths.map((width) => '-'.repeat(width))), ...body.map(line)].join('\n');
}
