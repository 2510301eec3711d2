/**
 * `npm run bench:rollout`: what it costs to give a thousand schemas a column. Prints one table and refreshes its part of
 * docs/benchmarks.md; `BENCH_QUICK=1` takes 100 schemas and leaves the document as it is. Nothing else should run on the
 * machine: the load average before and after is told.
 */
import { refreshDocument } from '../benchmark-document.ts';
import { quantile } from '../interleave.ts';
import { machineOf } from '../machine.ts';
import { atMost, fasterBy, ms, type Result, table, times } from '../result-table.ts';
import { RolloutBench } from './rollout-bench.ts';
import { rolloutDocument } from './rollout-document.ts';

// A run that is ended from outside leaves no server: it ends with the process, if that ends by itself.
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => process.exit(1));

const quick = Boolean(process.env.BENCH_QUICK);
const SCHEMAS = quick ? 100 : 1_000;
/** Tenants of Kysely's loop: each takes the longer, the more tables there are, so a few tell how long all would take. */
const SAMPLE = 5;
const ROUNDS = quick ? 2 : 5;
const machine = machineOf();
const say = (text: string) => console.error(text);
const median = (values: readonly number[]) => quantile(values, 0.5);
const seconds = (value: number) => (value < 1_000 ? ms(value) : `${(value / 1_000).toFixed(1)} s`);

say(`${SCHEMAS} schemas`);
const bench = await RolloutBench.start(SCHEMAS);
try {
  const samples: Record<'rollout' | 'kysely' | 'plain' | 'bare' | 'noop', number[]> = {
    rollout: [],
    kysely: [],
    plain: [],
    bare: [],
    noop: [],
  };
  const timed = async (name: keyof typeof samples, work: () => Promise<void>, count: boolean, factor = 1) => {
    const begun = performance.now();
    await work();
    if (count) samples[name].push((performance.now() - begun) * factor);
  };
  let connectionsOfNoop = 0;
  for (let round = 0; round <= ROUNDS; round++) {
    say(round === 0 ? 'warming up' : `round ${round} of ${ROUNDS}`);
    const count = round > 0;
    const contestants = [
      async () => {
        await timed('rollout', () => bench.rollOutColumn(), count);
        const before = bench.connections;
        await timed('noop', () => bench.rollOut(), count);
        connectionsOfNoop += bench.connections - before;
      },
      () => timed('kysely', () => bench.kyselyLoop(sampleOf(bench.schemas)), count, SCHEMAS / SAMPLE),
      async () => {
        await timed('plain', () => bench.plainLoop(), count);
        await bench.forgetLoop();
      },
      async () => {
        await timed('bare', () => bench.bareLoop(), count);
        await bench.forgetLoop();
      },
    ];
    // A different one first in each round.
    for (let index = 0; index < contestants.length; index++) {
      await contestants[(index + round) % contestants.length]?.();
    }
  }
  const [rollout, plain, kysely] = [median(samples.rollout), median(samples.plain), median(samples.kysely)];
  const [bare, noop] = [median(samples.bare), median(samples.noop)];
  const part = Math.ceil(bench.createdMs.length / 20);
  const first = median(bench.createdMs.slice(0, part));
  const last = median(bench.createdMs.slice(-part));
  const among = `${SCHEMAS.toLocaleString('en')} schemas`;
  const results: Result[] = [
    {
      what: `one ADD COLUMN in ${among}`,
      measured: seconds(rollout),
      against: `a plain loop over tenants ${seconds(plain)}`,
      ...fasterBy(plain / rollout, 3),
    },
    {
      what: `one ADD COLUMN in ${among}`,
      measured: seconds(rollout),
      against: `a loop with Kysely's Migrator ${seconds(kysely)} (${SAMPLE} of them, scaled)`,
      ...fasterBy(kysely / rollout, 3),
    },
    {
      what: `one ADD COLUMN in ${among}`,
      measured: seconds(rollout),
      against: `the barest loop on one connection ${seconds(bare)}`,
      ...fasterBy(bare / rollout, undefined),
    },
    {
      what: `nothing to do in ${among}`,
      measured: seconds(noop),
      against: `one ADD COLUMN ${seconds(rollout)}`,
      ...fasterBy(rollout / noop, undefined),
    },
    {
      what: `connections to tenants' databases, nothing to do in ${among}`,
      measured: String(connectionsOfNoop),
      against: '',
      ratio: '',
      target: '0',
      met: connectionsOfNoop === 0 ? 'yes' : 'no',
    },
    {
      what: `creating the next schema beside ${among}`,
      measured: ms(last),
      against: `the first ones ${ms(first)}`,
      ...atMost(last / first, 1.5),
    },
  ];
  const lines = table(results);
  const measuredOn = machine.describe(`PostgreSQL ${await bench.serverVersion()}`);
  console.log(`${lines}\n\n${measuredOn}`);
  say(`a schema takes ${ms(rollout / SCHEMAS)}, ${times(bare / rollout)} of the barest loop's pace`);
  if (!quick) refreshDocument('bench:rollout', rolloutDocument(lines, measuredOn));
} finally {
  await bench.stop();
}

/** From all over the cell. */
function sampleOf(schemas: readonly string[]): string[] {
  return Array.from(
    { length: SAMPLE },
    (_, index) => schemas[Math.floor((index * schemas.length) / SAMPLE)] as string,
  );
}
