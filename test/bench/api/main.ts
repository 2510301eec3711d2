/**
 * `npm run bench:api`: what the cache gives, and what audit and encryption cost. Prints one table and refreshes its part of
 * docs/benchmarks.md; `BENCH_QUICK=1` takes a short look and leaves the document as it is. It needs valkey-server or
 * redis-server. Nothing else should run on the machine: the load average before and after is told.
 */
import { valkeyInstalled } from '../../cache/test-valkey.ts';
import { refreshDocument } from '../benchmark-document.ts';
import { machineOf } from '../machine.ts';
import { atMost, fasterBy, ms, type Result, table } from '../result-table.ts';
import { apiDocument } from './api-document.ts';
import { type HttpLoad, measureHttpLoad } from './http-load.ts';
import { measureSessionParts, type SessionParts } from './session-parts.ts';

if (!valkeyInstalled) process.exit(1);
const quick = Boolean(process.env.BENCH_QUICK);
const machine = machineOf();
const say = (text: string) => console.error(text);

say('the parts of a request at the tenant session');
const parts = await measureSessionParts(quick);
say('whole requests through local platforms with a cache and without');
const loads = await measureHttpLoad(quick);

const results = table([...parts.flatMap(partResults), ...loads.flatMap(loadResults)]);
const measuredOn = machine.describe('PostgreSQL 17');
console.log(`${results}\n\n${measuredOn}`);
if (!quick) refreshDocument('bench:api', apiDocument(results, measuredOn));

function partResults({ model, timings }: SessionParts): Result[] {
  const { database, cached, opened, plain, audited, sealed, invalidating } = timings;
  const added = (what: string, more: number, less: number, to: string): Result => ({
    what: `${model}: ${what}`,
    measured: ms(more),
    against: `${to} ${ms(less)}`,
    ...atMost(more / less, undefined),
  });
  return [
    {
      what: `${model}: cached employee at the session`,
      measured: ms(cached.p50),
      against: `from the database ${ms(database.p50)}`,
      ...fasterBy(database.p50 / cached.p50, 2),
    },
    added('read with two encrypted fields', opened.p50, database.p50, 'without them'),
    added('write with its audit entry', audited.p50, plain.p50, 'without it'),
    added('write of an encrypted field, audited', sealed.p50, audited.p50, 'of another field'),
    added('write with the cache, audited', invalidating.p50, audited.p50, 'without the cache'),
  ];
}

function loadResults({ slug, model, cached, uncached, saturated }: HttpLoad): Result[] {
  const { requests, seconds, timing, unintended } = saturated;
  const failed = Object.values(unintended).reduce((sum, count) => sum + count, 0);
  return [
    {
      what: `GET /employees/{id}, ${model} (${slug}), cached, over HTTP`,
      measured: ms(cached.p50),
      against: `on a platform without a cache ${ms(uncached.p50)}`,
      ...fasterBy(uncached.p50 / cached.p50, undefined),
    },
    {
      what: `mixed load of eight clients, ${model} (${slug}), ${seconds} s: ${Math.round(requests / seconds)} requests/s`,
      measured: ms(timing.p50),
      against: `p95 ${ms(timing.p95)}`,
      ...atMost(timing.p95 / timing.p50, undefined),
    },
    {
      what: `answers other than the intended ones, ${model} (${slug})`,
      measured: `${failed} of ${requests.toLocaleString('en')}`,
      against: '',
      ratio: '',
      target: '0',
      met: failed === 0 ? 'yes' : 'no',
    },
  ];
}
