/**
 * `npm run bench:backup`: what backups and their restores cost. Prints one table and refreshes its part of
 * docs/benchmarks.md; `BENCH_MB=100` takes a tenant of that many megabytes (1,000 otherwise) and leaves the document as it
 * is, and so does `BENCH_QUICK=1`, with a small one. Nothing else should run on the machine: the load average before and
 * after is told.
 */
import { refreshDocument } from '../benchmark-document.ts';
import { machineOf } from '../machine.ts';
import { debianPostgresInstalled } from '../move/debian-servers.ts';
import { table } from '../result-table.ts';
import { backupDocument } from './backup-document.ts';
import { backupResults } from './backup-results.ts';
import { measureBackups } from './measure-backups.ts';

// A run that is ended from outside leaves no server: it ends with the process, if that ends by itself.
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => process.exit(1));

const DOCUMENTED_MB = 1_000;
const machine = machineOf();
const megabytes = Number(process.env.BENCH_MB ?? (process.env.BENCH_QUICK ? 50 : DOCUMENTED_MB));
if (!Number.isSafeInteger(megabytes) || megabytes < 10)
  throw new Error('BENCH_MB is not a number from 10 on');
const say = (text: string) => console.error(text);
if (!debianPostgresInstalled)
  say('without pg_dump and pg_restore to compare with: apt-get install postgresql-15 zstd');

const cost = await measureBackups(megabytes, say);
const lines = table(backupResults(cost), 'measured');
const measuredOn = machine.describe(
  `PostgreSQL ${[cost.serverVersion, cost.dumps?.serverVersion].filter(Boolean).join(' and ')}`,
);
console.log(`${lines}\n\n${measuredOn}`);
if (megabytes === DOCUMENTED_MB && debianPostgresInstalled)
  refreshDocument('bench:backup', backupDocument(lines, measuredOn));
