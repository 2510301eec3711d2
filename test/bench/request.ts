/**
 * `npm run bench:request`: what tenancy costs a request. Prints one table and refreshes its part of docs/benchmarks.md;
 * `BENCH_QUICK=1` takes a short look and leaves the document as it is. Both cores of a small machine are needed, and
 * nothing else should run on it: the load average before and after is told.
 */
import { refreshDocument } from './benchmark-document.ts';
import { measureHandlerBundles } from './handler-bundles.ts';
import { measureHttpRequests } from './http-requests.ts';
import { machineOf } from './machine.ts';
import { requestDocument } from './request-document.ts';
import { table } from './result-table.ts';
import { bundleResults, httpResults, sessionResults, tenantCountResults } from './results.ts';
import { measureSessionCosts } from './session-cost.ts';
import { measureTenantCounts } from './tenant-counts.ts';

const quick = Boolean(process.env.BENCH_QUICK);
const machine = machineOf();
const say = (text: string) => console.error(text);

say('tenant sessions, at 0 and 1 ms of added round trip');
const costs = await measureSessionCosts(quick);
say('handler bundles');
const bundles = await measureHandlerBundles(quick);
say('many tenants beside ten active ones');
const counts = await measureTenantCounts(quick);
say('whole requests through the local platform');
const requests = await measureHttpRequests(quick);

const results = table([
  ...sessionResults(costs),
  ...bundleResults(bundles),
  ...tenantCountResults(counts),
  ...httpResults(requests),
]);
const measuredOn = machine.describe(`PostgreSQL ${costs.serverVersion}`);
console.log(`${results}\n\n${measuredOn}`);
if (!quick) refreshDocument('bench:request', requestDocument(results, measuredOn));
