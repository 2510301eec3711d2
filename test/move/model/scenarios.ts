import {
  type Attempt,
  type Database,
  emptyDatabase,
  type Home,
  type Mover,
  type Place,
  type Reader,
  type State,
  type Writer,
} from './state.ts';
import type { Scenario } from './world.ts';

const [X, Y] = [0, 1];
const nowhere: Database = { ...emptyDatabase({ epoch: 1, state: 'active', home: 0 }), row: undefined };
const atX = (home = 0): Database => emptyDatabase({ epoch: 1, state: 'active', home });

const reshape = (from: number, to: number, epoch = 1): Attempt => ({
  kind: 'reshape',
  from: { database: X, epoch, home: from },
  to: { database: X, epoch: epoch + 1, home: to },
  returns: false,
});
const relocate = (to: number): Attempt => ({
  kind: 'relocate',
  from: { database: X, epoch: 1, home: 1 },
  to: { database: Y, epoch: 2, home: to },
  returns: false,
});

const writer = (database = X, epoch = 1): Writer => ({
  at: 'new',
  cache: { database, epoch },
  home: 0,
  capture: false,
});
const reader = (database = X, epoch = 1): Reader => ({
  at: 'idle',
  cache: { database, epoch },
  mustSee: 0,
  home: 0,
  snapshot: 0,
});

interface Cast {
  readonly databases: readonly Database[];
  /** Numbers of the homes that exist. */
  readonly homes: readonly number[];
  readonly attempts: readonly Attempt[];
  readonly movers: readonly number[];
  readonly writers: readonly Writer[];
  readonly reader?: Reader;
  readonly registry?: Place;
  readonly rollsBack?: 1 | 2;
  readonly cleansUp?: boolean;
  readonly losesAnswers?: boolean;
}

function scenario(name: string, cast: Cast): Scenario {
  const { databases, homes, attempts, movers, writers, registry = { database: X, epoch: 1 }, ...rest } = cast;
  const initial: State = {
    databases,
    homes: [0, 1, 2, 3].map((number): Home => ({ value: 0, exists: homes.includes(number) })),
    channels: attempts.map(() => undefined),
    turn: 0,
    registry,
    writers,
    reader: cast.reader,
    movers: movers.map((): Mover => ({ at: 'claim', token: 0, value: 0, log: 0 })),
    recoveries: Array.from({ length: cast.rollsBack ?? 0 }, () => 'idle' as const),
    cleanUp: 'idle',
    committed: 0,
    failure: undefined,
  };
  return { name, initial, attempts, movers, ...rest };
}

/** Home 0 is the shared tables, 1 to 3 are schemas. */
export const scenarios = {
  reshape: scenario('a reshape under two writers and a reader', {
    databases: [atX(0)],
    homes: [0],
    attempts: [reshape(0, 1)],
    movers: [1],
    writers: [writer(), writer()],
    reader: reader(),
    losesAnswers: true,
  }),
  reshapeTwice: scenario('a reshape into the shared tables by a task that runs twice', {
    databases: [atX(1)],
    homes: [0, 1],
    attempts: [reshape(1, 0)],
    movers: [1, 1],
    writers: [writer(), writer()],
  }),
  reshapeAgain: scenario(
    'a reshape into the shared tables, rolled back from under its mover, and another attempt',
    {
      databases: [atX(1)],
      homes: [0, 1],
      attempts: [reshape(1, 0), reshape(1, 0)],
      movers: [1, 2],
      writers: [writer()],
      rollsBack: 2,
    },
  ),
  thereAndBack: scenario('a reshape out of the shared tables and back, with the clean-up of the first', {
    databases: [atX(0)],
    homes: [0],
    attempts: [reshape(0, 1), reshape(1, 0, 2)],
    movers: [1, 2],
    writers: [writer()],
    reader: reader(),
    rollsBack: 1,
    cleansUp: true,
  }),
  relocate: scenario('a relocate under two writers and a reader', {
    databases: [atX(1), nowhere],
    homes: [1],
    attempts: [relocate(2)],
    movers: [1],
    writers: [writer(), writer()],
    reader: reader(),
  }),
  relocateTwice: scenario('a relocate by a task that runs twice', {
    databases: [atX(1), nowhere],
    homes: [1],
    attempts: [relocate(2)],
    movers: [1, 1],
    writers: [writer()],
  }),
  relocateAgain: scenario('a relocate, rolled back from under its mover, and another attempt', {
    databases: [atX(1), nowhere],
    homes: [1],
    attempts: [relocate(2), relocate(3)],
    movers: [1, 2],
    writers: [writer()],
    rollsBack: 1,
  }),
  wayBack: scenario('a relocate back to where clients with old caches still look, which may be rolled back', {
    databases: [
      {
        ...atX(0),
        row: {
          ...emptyDatabase({ epoch: 2, state: 'moved', home: 1 }).row!,
          forward: { database: Y, epoch: 2 },
        },
      },
      emptyDatabase({ epoch: 2, state: 'active', home: 2 }),
    ],
    homes: [2],
    attempts: [
      {
        kind: 'relocate',
        from: { database: Y, epoch: 2, home: 2 },
        to: { database: X, epoch: 3, home: 3 },
        returns: true,
      },
    ],
    movers: [1],
    writers: [writer(X, 1)],
    reader: reader(),
    registry: { database: Y, epoch: 2 },
    rollsBack: 1,
  }),
} as const satisfies Record<string, Scenario>;
