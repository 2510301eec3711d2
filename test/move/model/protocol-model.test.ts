import { expect, test } from 'vitest';
import { FULL_RUN } from '../../full-run.ts';
import { everySecondLine, type Guards, type SecondLines } from './guards.ts';
import { check } from './placement-protocol.ts';
import { scenarios } from './scenarios.ts';

type Name = keyof typeof scenarios;

/** What happens at least once in each of them: a scenario in which nothing goes on would hold any invariant. */
const heights: Record<Name, readonly RegExp[]> = {
  reshape: [/^writer 2: .*the answer is lost/, /^reader: reads/, /^mover 1 .*releases the tenant/],
  reshapeTwice: [/^mover 2 .*commits the copy/, /^mover 2 .*commits the round/, /^server: ends the hanging/],
  reshapeAgain: [/^recovery 2 .*drops what/, /^mover 2 .*releases the tenant/],
  thereAndBack: [/^clean-up: erases/, /^clean-up: finds another epoch/, /^mover 2 .*releases the tenant/],
  relocate: [/^replication 1: carries a write over/, /^writer 2: is refused, TN002/, /^mover 1 .*releases/],
  relocateTwice: [/^mover 2 .*flips/, /^router: clears the fence/, /^mover 2 .*lowers the fence/],
  relocateAgain: [/^recovery 1 .*drops/, /^server: ends the transaction of mover 1/, /^mover 2 .*releases/],
  wayBack: [
    /^writer 1: is refused, TN003/,
    /^reader: is refused, TN00[23]/,
    /^recovery 1 .*finds the move committed/,
  ],
};

test.each(Object.keys(scenarios) as Name[])('%s: no interleaving breaks an invariant', (name) => {
  const { exploration, violation, trace } = check(scenarios[name]);
  const { states, edges, happened } = exploration;
  console.log(`${scenarios[name].name}: ${states.length} states, ${edges} steps`);
  expect({ violation, trace }).toEqual({ violation: undefined, trace: [] });
  for (const height of heights[name])
    expect([...happened].filter((step) => height.test(step))).not.toEqual([]);
});

const missing = 'a committed write is missing where the tenant is writable';
const paused = 'the tenant stays paused unless a mover does something';
const forEver = 'what a move has left is there for ever, and no other can begin';
const unknown = 'a client was told that the tenant is unknown';

const broken: Record<keyof Guards, readonly [scenario: Name, violation: string]> = {
  writersTakeLock: ['reshape', missing],
  lockBeforeRead: ['reshape', missing],
  epochChecked: ['wayBack', 'two homes accept writes'],
  readsInSnapshot: ['thereAndBack', 'a reader went back in time'],
  unknownCommitNotRetried: ['reshape', 'a write was applied twice'],
  expiredFenceCleared: ['wayBack', paused],
  hungMoverEnded: ['wayBack', paused],
  fenceDrainsWriters: ['relocate', missing],
  freshToken: ['relocateTwice', missing],
  flipChecksToken: ['relocateTwice', missing],
  claimChecked: ['thereAndBack', 'the home that accepts writes was erased'],
  claimChecksEpoch: ['reshapeTwice', missing],
  moverKeyTaken: ['relocateAgain', unknown],
  finalizedUnderKey: ['relocateTwice', missing],
  captureUnderLock: ['reshape', missing],
  roundInOneSnapshot: ['reshape', missing],
  deltaUnderFence: ['reshape', missing],
  stepsInTurn: ['reshapeTwice', missing],
  emptiedBeforeCapture: ['reshapeTwice', missing],
  tablesAwaited: ['relocate', missing],
  markerAwaited: ['relocate', missing],
  targetPlacedFirst: ['relocate', unknown],
  targetKeyTaken: ['relocateAgain', forEver],
  registryToldFirst: ['thereAndBack', 'a client finds the tenant only once a mover does something'],
  oneOpenHop: ['relocateAgain', forEver],
  rollBackSparesClaimed: ['reshapeAgain', missing],
  forwardKept: ['wayBack', unknown],
  cleanUpRechecksEpoch: ['thereAndBack', 'clean-up erased the current home'],
  cleanUpRespectsClaim: ['thereAndBack', missing],
};

/** Of each scenario with one, the guard that `npm test` leaves out. */
const SAMPLE: readonly string[] = [
  'writersTakeLock',
  'epochChecked',
  'cleanUpRechecksEpoch',
  'fenceDrainsWriters',
  'flipChecksToken',
  'emptiedBeforeCapture',
  'rollBackSparesClaimed',
  'targetKeyTaken',
] satisfies (keyof Guards)[];

for (const [guard, [name, expected]] of Object.entries(broken)) {
  test.runIf(FULL_RUN || SAMPLE.includes(guard))(`without ${guard} there is a counter-example`, () => {
    const { violation, trace } = check(scenarios[name], { [guard]: false });
    expect(violation).toBe(expected);
    // The shortest one, step by step, for readers of the snapshot.
    expect(`\n${trace.join('\n')}\n`).toMatchSnapshot();
  });
}

test.runIf(FULL_RUN).each(['reshapeTwice', 'relocateTwice', 'relocateAgain'] as const)(
  '%s: without all of the second lines of defence nothing breaks',
  (name) => {
    const none = Object.fromEntries(Object.keys(everySecondLine).map((line) => [line, false]));
    const { violation, trace } = check(scenarios[name], none as Partial<SecondLines>);
    expect({ violation, trace }).toEqual({ violation: undefined, trace: [] });
  },
);
