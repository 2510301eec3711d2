import type { WorkerReport } from '../../backup/worker-process.ts';
import { quantile } from '../interleave.ts';
import { atMost, fasterBy, ms, type Result, times } from '../result-table.ts';
import type { BackupCost } from './measure-backups.ts';
import { REQUESTS_PER_SECOND } from './neighbour.ts';

const MAX_MEMORY = 256 * 2 ** 20;
/** The peaks of two runs of the same differ by as much. */
const FLAT = 1.25;

const median = (values: readonly number[]) => quantile(values, 0.5);
const time = (value: number) => (value < 1_000 ? ms(value) : `${(value / 1_000).toFixed(2)} s`);
const megabytes = (bytes: number) => `${(bytes / 1e6).toFixed(0)} MB`;
const mebibytes = (bytes: number) => `${(bytes / 2 ** 20).toFixed(0)} MiB`;
const peakOf = (workers: readonly WorkerReport[]) => Math.max(...workers.map(({ peakMemory }) => peakMemory));
const noTarget = { ratio: '', target: '', met: '' } as const;
const met = (isMet: boolean) => (isMet ? 'yes' : 'no');

export function backupResults(cost: BackupCost): Result[] {
  const { ours, small, neighbour } = cost;
  const of = `${cost.rows.toLocaleString('en')} rows, ${megabytes(cost.bytes)}`;
  const large = Math.max(...ours.map(({ workers }) => peakOf(workers)));
  const restoring = Math.max(...ours.map(({ restore }) => restore.peakMemory));
  return [
    ...(cost.dumps ? comparisons(cost, cost.dumps, of) : alone(cost, of)),
    {
      what: `backup of ${of}: peak memory of a worker, the largest of all`,
      measured: mebibytes(large),
      against: '',
      ratio: '',
      target: '≤ 256 MiB',
      met: met(large <= MAX_MEMORY),
    },
    {
      what: `backup of ${of}: peak memory of a worker, the largest of all`,
      measured: mebibytes(large),
      against: `of ${small.megabytes} MB ${mebibytes(peakOf(small.workers))}`,
      ...atMost(large / peakOf(small.workers), FLAT),
    },
    {
      what: `restore of ${of}: peak memory`,
      measured: mebibytes(restoring),
      against: '',
      ratio: '',
      target: '≤ 256 MiB',
      met: met(restoring <= MAX_MEMORY),
    },
    {
      what: `p99 of ${REQUESTS_PER_SECOND} requests/s of 50 other tenants of the cell, during a backup`,
      measured: ms(neighbour.duringP99),
      against: `without a backup ${ms(neighbour.quietP99)}`,
      ...atMost(neighbour.duringP99 / neighbour.quietP99, undefined),
    },
    {
      what: 'failed requests of other tenants',
      measured: `${neighbour.failed} of ${neighbour.requests.toLocaleString('en')}`,
      against: '',
      ratio: '',
      target: '0',
      met: met(neighbour.failed === 0),
    },
  ];
}

function totals({ ours }: BackupCost) {
  const loaded = ours.map(({ restore: { phases } }) => phases.verify + phases.load + phases.index);
  return {
    backup: median(ours.map((backup) => backup.ms)),
    bytes: median(ours.map(({ bytes }) => bytes)),
    loaded: median(loaded),
    compared: median(ours.map(({ restore: { phases } }, index) => loaded[index]! + phases.compare)),
  };
}

function alone(cost: BackupCost, of: string): Result[] {
  const { backup, bytes, loaded, compared } = totals(cost);
  return [
    { what: `backup of ${of}`, measured: time(backup), against: '', ...noTarget },
    { what: `backup of ${of}: size`, measured: megabytes(bytes), against: '', ...noTarget },
    { what: `restore of ${of}: verified, loaded, indexed`, measured: time(loaded), against: '', ...noTarget },
    {
      what: `restore of ${of}: and compared row by row`,
      measured: time(compared),
      against: '',
      ...noTarget,
    },
  ];
}

function comparisons(cost: BackupCost, dumps: NonNullable<BackupCost['dumps']>, of: string): Result[] {
  const { backup, bytes, loaded, compared } = totals(cost);
  const custom = median(dumps.custom.map((dump) => dump.ms));
  const zstd = median(dumps.zstd.map((dump) => dump.ms));
  const restored = median(dumps.restore);
  const size = (name: string, theirs: number): Result => ({
    what: `backup of ${of}: size`,
    measured: megabytes(bytes),
    against: `${name} ${megabytes(theirs)}`,
    ratio: times(bytes / theirs),
    target: 'no larger',
    met: met(bytes <= theirs),
  });
  return [
    {
      what: `backup of ${of}`,
      measured: time(backup),
      against: `pg_dump -Fc ${time(custom)}`,
      ...fasterBy(custom / backup, 4),
    },
    {
      what: `backup of ${of}`,
      measured: time(backup),
      against: `pg_dump to zstd -3 ${time(zstd)}`,
      ...fasterBy(zstd / backup, 1.2),
    },
    size('pg_dump -Fc', median(dumps.custom.map((dump) => dump.bytes))),
    size('pg_dump to zstd -3', median(dumps.zstd.map((dump) => dump.bytes))),
    {
      what: `restore of ${of}: verified, loaded, indexed`,
      measured: time(loaded),
      against: `pg_restore -j2 ${time(restored)}`,
      ...fasterBy(restored / loaded, undefined),
    },
    {
      what: `restore of ${of}: and compared row by row`,
      measured: time(compared),
      against: `pg_restore -j2 ${time(restored)}, which compares nothing`,
      ...fasterBy(restored / compared, 1.3),
    },
  ];
}
