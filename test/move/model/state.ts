/**
 * What the world consists of: databases with one placement row and two advisory locks each, homes that hold the
 * tenant's data, replication channels, clients and movers.
 *
 * The tenant's data is one row with one value, the set of writes it contains: bit n is write n, bit n + 4 says that it
 * was applied twice. Copying and replicating replace the value, as they replace a row: stale copies destroy.
 */

/** Whom requests are sent to: a database, by number, under an epoch. */
export interface Place {
  readonly database: number;
  readonly epoch: number;
}

/** `tenancy.placement`. */
export interface Placement {
  epoch: number;
  state: 'active' | 'fenced' | 'moved';
  /** Number of the home that it names. */
  home: number;
  capture: boolean;
  /** 0 for none. */
  token: number;
  expired: boolean;
  forward: Place | undefined;
  /** The attempt that has claimed the tenant; 0 for none. */
  mover: number;
}

/** An advisory lock: sets of holders, one bit each. */
export interface Lock {
  shared: number;
  exclusive: number;
}

export interface Database {
  row: Placement | undefined;
  readonly writers: Lock;
  readonly movers: Lock;
  /** The log of captured changes, a set of writes. */
  log: number;
}

export interface Home {
  value: number;
  exists: boolean;
}

/** What logical replication of one attempt has still to carry over: values, and markers as negative tokens. */
export interface Channel {
  queue: number[];
  /** The initial copy is done. Markers pass before that: they are in a table of their own. */
  synced: boolean;
  /** Token of the newest marker that arrived; 0 for none. */
  arrived: number;
}

export type WriterAt = 'new' | 'idle' | 'locked' | 'entered' | 'unsure' | 'done';
export interface Writer {
  at: WriterAt;
  cache: Place;
  home: number;
  capture: boolean;
}

export type ReaderAt = 'idle' | 'begun' | 'entered' | 'done';
export interface Reader {
  at: ReaderAt;
  cache: Place;
  /** What had been committed before the read began. */
  mustSee: number;
  home: number;
  snapshot: number;
}

/** Where a mover is. Those in -ing hold a transaction open, and its locks. */
export type MoverAt =
  | 'claim'
  | 'claiming'
  | 'prepare'
  | 'preparing'
  | 'copy'
  | 'copying'
  | 'ready'
  | 'caught up'
  | 'rounding'
  | 'raising'
  | 'fenced'
  | 'marked'
  | 'placing'
  | 'placing without claim'
  | 'placed'
  | 'flipping'
  | 'flipped'
  | 'finalizing'
  | 'releasing'
  | 'released'
  | 'done'
  | 'overtaken';
export interface Mover {
  at: MoverAt;
  token: number;
  /** What its open transaction has read. */
  value: number;
  log: number;
}

export type RecoveryAt = 'idle' | 'taking' | 'drop' | 'dropping' | 'done';
export type CleanUpAt = 'idle' | 'erasing' | 'done';

export interface State {
  readonly databases: readonly Database[];
  readonly homes: readonly Home[];
  /** By attempt. */
  readonly channels: (Channel | undefined)[];
  /** The mover whose turn it is among those of reshapes: a lock of its session, as a set of holders. */
  turn: number;
  registry: Place;
  readonly writers: readonly Writer[];
  readonly reader: Reader | undefined;
  readonly movers: readonly Mover[];
  /** Two are a roll back that runs twice. */
  readonly recoveries: RecoveryAt[];
  cleanUp: CleanUpAt;
  /** Every write that was committed anywhere: a superset of what was acknowledged. */
  committed: number;
  /** What a client, or the tenant, must never live through. */
  failure: string | undefined;
}

/** One try at one hop. Its number is its index + 1. */
export interface Attempt {
  readonly kind: 'reshape' | 'relocate';
  readonly from: Place & { readonly home: number };
  readonly to: Place & { readonly home: number };
  /** The tenant was in the target's database before, which keeps a row that says where it went. */
  readonly returns: boolean;
}

/** Rows behind row-level security: they are emptied, never dropped. */
export const SHARED_HOME = 0;

/** The bits of holders in locks. */
export const holder = {
  writer: (index: number): number => 1 << index,
  mover: (index: number): number => 4 << index,
  recovery: (index: number): number => 16 << index,
  cleanUp: 64,
};

export function emptyDatabase(
  row: Partial<Placement> & Pick<Placement, 'epoch' | 'state' | 'home'>,
): Database {
  return {
    row: { capture: false, token: 0, expired: false, forward: undefined, mover: 0, ...row },
    writers: { shared: 0, exclusive: 0 },
    movers: { shared: 0, exclusive: 0 },
    log: 0,
  };
}

export function copyOf(state: State): State {
  return {
    ...state,
    databases: state.databases.map(({ row, writers, movers, log }) => ({
      row: row && { ...row },
      writers: { ...writers },
      movers: { ...movers },
      log,
    })),
    homes: state.homes.map((home) => ({ ...home })),
    channels: state.channels.map((channel) => channel && { ...channel, queue: [...channel.queue] }),
    writers: state.writers.map((writer) => ({ ...writer })),
    reader: state.reader && { ...state.reader },
    movers: state.movers.map((mover) => ({ ...mover })),
    recoveries: [...state.recoveries],
  };
}

export function mayShare(lock: Lock): boolean {
  return lock.exclusive === 0;
}
export function mayExclude(lock: Lock): boolean {
  return lock.exclusive === 0 && lock.shared === 0;
}
/** Gives back whatever the holder has, as the end of its transaction does. */
export function letGo(state: State, who: number): void {
  for (const { writers, movers } of state.databases) {
    for (const lock of [writers, movers]) {
      lock.shared &= ~who;
      lock.exclusive &= ~who;
    }
  }
  state.turn &= ~who;
}

/** What the value is after the write. */
export function written(value: number, write: number): number {
  return value & (1 << write) ? value | (16 << write) : value | (1 << write);
}
export function contains(value: number, writes: number): boolean {
  return (value & writes) === writes;
}

/** A token that nobody knows. Tokens that nobody knows any more are used again, which keeps the model finite. */
export function freshToken(state: State): number {
  const known = new Set<number>();
  for (const { row } of state.databases) if (row) known.add(row.token);
  for (const { token } of state.movers) known.add(token);
  for (const channel of state.channels) {
    known.add(channel?.arrived ?? 0);
    for (const item of channel?.queue ?? []) known.add(-item);
  }
  let token = 1;
  while (known.has(token)) token++;
  return token;
}

/** Forgets markers that nobody waits for. */
export function forgetMarkers(state: State): void {
  const awaited = (token: number) =>
    state.movers.some((mover) => mover.token === token) ||
    state.databases.some(({ row }) => row?.token === token);
  for (const channel of state.channels) {
    if (!channel) continue;
    if (!awaited(channel.arrived)) channel.arrived = 0;
    channel.queue = channel.queue.filter((item) => item >= 0 || awaited(-item));
  }
}
