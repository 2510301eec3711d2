/**
 * `npm run bench:request`: what tenancy costs a request. Prints one table and refreshes docs/benchmarks.md;
 * `BENCH_QUICK=1` takes a short look and leaves the document as it is. Both cores of a small machine are needed, and
 * nothing else should run on it: the load average before and after is told.
 */
import { writeFileSync } from 'node:fs';
import { arch, cpus, loadavg, release, type as systemName, totalmem } from 'node:os';
import { join } from 'node:path';
import { benchmarkDocument } from './benchmark-document.ts';
import { measureHandlerBundles } from './handler-bundles.ts';
import { measureHttpRequests } from './http-requests.ts';
import { bundleResults, httpResults, sessionResults, table, tenantCountResults } from './results.ts';
import { measureSessionCosts } from './session-cost.ts';
import { measureTenantCounts } from './tenant-counts.ts';

const quick = Boolean(process.env.BENCH_QUICK);
const before = loadavg()[0] ?? 0;
const say = (text: string) => console.error(text);

say('tenant sessions, at 0 and 1 ms of added round trip');
const costs = await measureSessionCosts(quick);
say('handler bundles');
const bundles = await measureHandlerBundles(quick);
say('many tenants beside ten active ones');
const counts = await measureTenantCounts(quick);
say('whole requests through the local platform');
const requests = await measureHttpRequests(quick);

const results = [
  ...sessionResults(costs),
  ...bundleResults(bundles),
  ...tenantCountResults(counts),
  ...httpResults(requests),
];
const [cpu] = cpus();
const machine = [
  `${cpus().length} cores (${cpu?.model.trim()})`,
  `${Math.round(totalmem() / 2 ** 30)} GB`,
  `${systemName()} ${release().split('-')[0]} ${arch()}`,
  `Node ${process.versions.node}`,
  `PostgreSQL ${costs.serverVersion}`,
  `load average ${before.toFixed(1)} before and ${(loadavg()[0] ?? 0).toFixed(1)} after`,
].join(', ');
console.log(`${table(results)}\n\n${machine}`);
if (!quick) {
  const path = join(import.meta.dirname, '../../docs/benchmarks.md');
  writeFileSync(path, benchmarkDocument(table(results), machine));
}
