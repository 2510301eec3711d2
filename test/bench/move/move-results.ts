import { atMost, fasterBy, ms, type Result, times } from '../result-table.ts';
import { longest, median } from './paced-load.ts';
import type { ProtocolCost } from './protocol-cost.ts';
import { type RelocationCost, WRITES_PER_SECOND } from './relocation-cost.ts';
import { NEIGHBOURS, type ReshapeCost } from './reshape-cost.ts';

const MAX_PAUSE_MS = 50;
/** What a client may see of a cut-over, at most. */
const MAX_WRITE_MS = 150;

const seconds = (value: number) => `${(value / 1_000).toFixed(value < 10_000 ? 2 : 1)} s`;
const time = (value: number) => (value < 1_000 ? ms(value) : seconds(value));
const count = (value: number) => value.toLocaleString('en');
const gigabytes = (bytes: number) => `${(bytes / 1e9).toFixed(2)} GB`;
const noTarget = { ratio: '', target: '', met: '' } as const;

function pauseWithin(pauseMs: number): Pick<Result, 'ratio' | 'target' | 'met'> {
  return { ratio: '', target: `≤ ${MAX_PAUSE_MS} ms`, met: pauseMs <= MAX_PAUSE_MS ? 'yes' : 'no' };
}

export function relocationResults({ rows, bytes, ours, dumps }: RelocationCost): Result[] {
  const what = `relocate ${count(rows)} rows, ${gigabytes(bytes)}, at ${WRITES_PER_SECOND} writes/s`;
  const toCommit = median(ours.map(({ toCommitMs }) => toCommitMs));
  const toCompared = median(ours.map(({ toComparedMs }) => toComparedMs));
  const pause = longest(ours.map(({ pauseMs }) => pauseMs));
  const around = longest(ours.map(({ slowestAroundMs }) => slowestAroundMs));
  const slowest = longest(ours.map(({ slowestMs }) => slowestMs));
  const [writes, failed] = [sum(ours.map((run) => run.writes)), sum(ours.map((run) => run.failed))];
  const compressed = dumps && median(dumps.compressed);
  const uncompressed = dumps && median(dumps.uncompressed);
  const against = (name: string, value: number) => `pg_dump ${name} to pg_restore ${time(value)}`;
  const duration =
    compressed === undefined ? '' : `pg_dump -Fc to pg_restore, all of it: ${time(compressed)}`;
  const compared =
    compressed === undefined || uncompressed === undefined
      ? [{ what: `${what}: committed`, measured: time(toCommit), against: '', ...noTarget }]
      : [
          {
            what: `${what}: committed`,
            measured: time(toCommit),
            against: against('-Fc', compressed),
            ...fasterBy(compressed / toCommit, 1.7),
          },
          {
            what: `${what}: committed`,
            measured: time(toCommit),
            against: against('-Fc -Z0', uncompressed),
            ...atMost(toCommit / uncompressed, 1.15),
          },
        ];
  return [
    ...compared,
    {
      what: `${what}: committed and compared row by row`,
      measured: time(toCompared),
      against: 'a restore compares nothing',
      ...noTarget,
    },
    {
      what: 'relocate: write pause, the longest of all tries',
      measured: ms(pause),
      against: duration,
      ...pauseWithin(pause),
    },
    {
      what: 'relocate: slowest write around the cut-over, with its retries',
      measured: ms(around),
      against: duration,
      ratio: '',
      target: `≤ ${MAX_WRITE_MS} ms`,
      met: around <= MAX_WRITE_MS ? 'yes' : 'no',
    },
    { what: 'relocate: slowest write of all', measured: ms(slowest), against: '', ...noTarget },
    {
      what: 'relocate: failed writes',
      measured: `${failed} of ${count(writes)}`,
      against: '',
      ratio: '',
      target: '0',
      met: failed === 0 ? 'yes' : 'no',
    },
  ];
}

export function reshapeResults(costs: readonly ReshapeCost[]): Result[] {
  const each = costs.flatMap(({ rows, pauses, totals, strategy, others }) => {
    const what = `reshape ${count(rows)} rows`;
    const alternative = median(strategy);
    const { quiet, moving, tireless } = others;
    const pause = longest(pauses);
    return [
      {
        what: `${what}: write pause, the longest of ${pauses.length} moves`,
        measured: ms(pause),
        against: `one transaction ${time(alternative)}`,
        ...pauseWithin(pause),
        ratio: `${times(alternative / pause)} shorter`,
      },
      {
        what: `${what}: from beginning to commit`,
        measured: time(median(totals)),
        against: `one transaction ${time(alternative)}`,
        ...noTarget,
        ratio: times(median(totals) / alternative),
      },
      {
        what: `${what}: p99 of ${count(moving.requests)} requests of ${NEIGHBOURS} other tenants`,
        measured: ms(moving.p99),
        against: `without a move ${ms(quiet.p99)}`,
        ...atMost(moving.p99 / quiet.p99, 1.5),
      },
      {
        what: `${what}: the same while the copy does not rest (moves.dutyCycle 1)`,
        measured: ms(tireless.p99),
        against: `without a move ${ms(quiet.p99)}`,
        ...atMost(tireless.p99 / quiet.p99, undefined),
      },
    ];
  });
  const [writes, failed] = [sum(costs.map((cost) => cost.writes)), sum(costs.map((cost) => cost.failed))];
  const [least, most] = [costs[0], costs.at(-1)].map((cost) => (cost ? median(cost.pauses) : 0));
  return [
    ...each,
    {
      what: `reshape: median pause at ${count(costs.at(-1)?.rows ?? 0)} rows`,
      measured: ms(most ?? 0),
      against: `at ${count(costs[0]?.rows ?? 0)} rows ${ms(least ?? 0)}`,
      ...atMost((most ?? 0) / (least || 1), undefined),
    },
    {
      what: 'reshape: failed requests of all tenants',
      measured: `${failed}, of ${count(writes)} writes of the moving ones`,
      against: '',
      ratio: '',
      target: '0',
      met: failed === 0 ? 'yes' : 'no',
    },
  ];
}

export function protocolResults(costs: readonly ProtocolCost[]): Result[] {
  return costs.flatMap(({ storage, timings: { session, entered, plain } }) => {
    const what = `a write while nothing moves, ${storage}`;
    const against = `without ${ms(plain.p50)}`;
    return [
      {
        what: `${what}: with tenancy.enter`,
        measured: ms(entered.p50),
        against,
        ...atMost(entered.p50 / plain.p50, storage === 'durable' ? 1.25 : undefined),
      },
      {
        what: `${what}: through our sessions`,
        measured: ms(session.p50),
        against,
        ...atMost(session.p50 / plain.p50, undefined),
      },
    ];
  });
}

const sum = (values: readonly number[]) => values.reduce((a, b) => a + b, 0);
