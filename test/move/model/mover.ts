/**
 * What movers of both kinds do alike: claim, fence, flip, release. A crash needs no step of its own: in every state one
 * continuation is that the mover does nothing more. What it had open the server ends, sooner or later; and a mover that
 * goes on after that was frozen, or is the task that runs again.
 */
import { relocateSteps } from './mover-relocate.ts';
import { reshapeSteps } from './mover-reshape.ts';
import {
  type Attempt,
  type Database,
  freshToken,
  holder,
  letGo,
  type Mover,
  type MoverAt,
  mayExclude,
  mayShare,
  type Placement,
  type State,
} from './state.ts';
import type { Moment } from './world.ts';

/** One mover in one state. */
export interface MoverTurn {
  readonly moment: Moment;
  readonly index: number;
  readonly mover: Mover;
  /** Number of the attempt. */
  readonly number: number;
  readonly attempt: Attempt;
  readonly by: string;
  readonly source: Database;
  readonly target: Database;
}

export function moverSteps(moment: Moment): void {
  const { state, scenario } = moment;
  for (const [index, mover] of state.movers.entries()) {
    const number = scenario.movers[index] as number;
    const attempt = scenario.attempts[number - 1] as Attempt;
    const source = state.databases[attempt.from.database] as Database;
    const by = `mover ${index + 1} (attempt ${number})`;
    const target = state.databases[attempt.to.database] as Database;
    const turn: MoverTurn = { moment, index, mover, number, attempt, by, source, target };
    claimSteps(turn);
    (attempt.kind === 'reshape' ? reshapeSteps : relocateSteps)(turn);
    fenceAndReleaseSteps(turn);
    interruptions(turn);
  }
}

export function sourceOf({ attempt }: MoverTurn, next: State): Database {
  return next.databases[attempt.from.database] as Database;
}

/** Goes on at another step; whatever transaction was open has ended. */
export function goOn({ index }: MoverTurn, next: State, at: MoverAt, facts: Partial<Mover> = {}): void {
  letGo(next, holder.mover(index));
  Object.assign(next.movers[index] as Mover, { at, value: 0, log: 0 }, facts);
}

/** Goes on at a step that holds locks of the source open. */
export function open(
  turn: MoverTurn,
  next: State,
  at: MoverAt,
  locks: { readonly writers?: 'exclusive'; readonly movers?: 'shared' | 'exclusive' },
): void {
  goOn(turn, next, at);
  const { writers, movers } = sourceOf(turn, next);
  if (locks.writers) writers.exclusive |= holder.mover(turn.index);
  if (locks.movers) movers[locks.movers] |= holder.mover(turn.index);
  if (turn.attempt.kind === 'reshape') next.turn |= holder.mover(turn.index);
}

/** Reshapes work on a session that has the turn; a relocate does not overwrite. */
export function isTurn({ moment: { guards, state }, attempt }: MoverTurn): boolean {
  return attempt.kind === 'relocate' || !guards.stepsInTurn || state.turn === 0;
}

/** What `claimed` asks once it has the key. */
export function hasClaim(
  { moment: { guards }, number, attempt }: MoverTurn,
  row: Placement | undefined,
): boolean {
  return row?.mover === number && (!guards.claimChecksEpoch || row.epoch === attempt.from.epoch);
}

/** Begins a transaction of the attempt: movers' key shared, then the claim. */
export function beginClaimed(
  turn: MoverTurn,
  does: string,
  at: MoverAt,
  whenBegun: (next: State) => void = () => {},
): void {
  const { moment, by, source } = turn;
  if (!mayShare(source.movers) || !isTurn(turn)) return;
  if (hasClaim(turn, source.row))
    moment.may(by, does, (next) => {
      open(turn, next, at, { movers: 'shared' });
      whenBegun(next);
    });
  else moment.may(by, 'finds the claim lost', (next) => goOn(turn, next, 'overtaken', { token: 0 }));
}

/** Whether the registry lets the attempt begin. */
function hasBegun({ moment: { guards, state, scenario }, number, attempt }: MoverTurn): boolean {
  const before = scenario.attempts[number - 2];
  if (!before || !guards.oneOpenHop) return true;
  return before.to.epoch === attempt.from.epoch || state.recoveries.includes('done');
}

function claimSteps(turn: MoverTurn): void {
  const { moment, mover, by, source, attempt, number } = turn;
  const { row } = source;
  if (mover.at === 'claim') {
    const free =
      row?.state !== 'moved' && row?.epoch === attempt.from.epoch && [0, number].includes(row.mover);
    const locks = moment.guards.moverKeyTaken;
    if (!hasBegun(turn)) return;
    if (free && (!locks || mayExclude(source.movers)))
      moment.may(by, locks ? 'takes the movers’ key exclusively' : 'goes on to claim', (next) =>
        open(turn, next, 'claiming', locks ? { movers: 'exclusive' } : {}),
      );
  } else if (mover.at === 'claiming') {
    moment.may(by, 'claims the tenant', (next) => {
      const placement = sourceOf(turn, next).row;
      const mine =
        placement?.epoch === attempt.from.epoch &&
        placement.state !== 'moved' &&
        [0, number].includes(placement.mover);
      if (mine) placement.mover = number;
      goOn(turn, next, mine ? 'prepare' : 'claim');
    });
  }
}

/** Asks for the writers' key: to raise the fence. */
export function raiseSteps(turn: MoverTurn): void {
  const { moment, by, source } = turn;
  const drains = moment.guards.fenceDrainsWriters;
  if ((drains && !mayExclude(source.writers)) || !isTurn(turn)) return;
  moment.may(by, drains ? 'takes the writers’ key exclusively' : 'goes on to raise a fence', (next) =>
    open(turn, next, 'raising', drains ? { writers: 'exclusive' } : {}),
  );
}

/** Asks for the writers' key: to flip. */
export function flipSteps(turn: MoverTurn): void {
  const { moment, by, source } = turn;
  const locks = moment.guards.flipTakesLock;
  if ((locks && !mayExclude(source.writers)) || !isTurn(turn)) return;
  moment.may(by, locks ? 'takes the writers’ key exclusively, to flip' : 'goes on to flip', (next) =>
    open(turn, next, 'flipping', locks ? { writers: 'exclusive' } : {}),
  );
}

/** The row that a flip may change, if it may: by compare-and-set. */
export function flippable(
  { moment: { guards }, attempt, number }: MoverTurn,
  next: State,
  token: number,
): Placement | undefined {
  const row = next.databases[attempt.from.database]?.row;
  if (row?.state !== 'fenced' || row.epoch !== attempt.from.epoch) return undefined;
  if (guards.claimChecked && guards.flipChecksClaim && row.mover !== number) return undefined;
  if (guards.flipChecksExpiry && row.expired) return undefined;
  if (guards.flipChecksToken && row.token !== token) return undefined;
  return row;
}

export function lowerSteps(turn: MoverTurn): void {
  const { moment, by, mover } = turn;
  moment.may(by, 'lowers the fence, if it is still that one', (next) => {
    const { row } = sourceOf(turn, next);
    if (row?.state === 'fenced' && row.token === mover.token)
      Object.assign(row, { state: 'active', token: 0, expired: false });
    goOn(turn, next, 'ready', { token: 0 });
  });
}

function fenceAndReleaseSteps(turn: MoverTurn): void {
  const { moment, mover, by, source, attempt, number } = turn;
  const { guards } = moment;
  if (mover.at === 'raising') {
    moment.may(by, 'raises the fence', (next) => {
      const row = sourceOf(turn, next).row as Placement;
      if (
        row.epoch !== attempt.from.epoch ||
        row.state === 'moved' ||
        (guards.claimChecked && row.mover !== number)
      )
        return goOn(turn, next, 'overtaken', { token: 0 });
      if (row.state === 'fenced' && !row.expired) return goOn(turn, next, 'ready');
      const token = guards.freshToken ? freshToken(next) : 1;
      Object.assign(row, { state: 'fenced', token, expired: false });
      goOn(turn, next, 'fenced', { token });
    });
  } else if (mover.at === 'releasing' && (!guards.moverKeyTaken || mayExclude(source.movers))) {
    moment.may(by, 'releases the tenant', (next) => {
      const { row } = sourceOf(turn, next);
      if (row?.mover === number) row.mover = 0;
      goOn(turn, next, guards.registryToldFirst ? 'done' : 'released');
    });
  } else if (mover.at === 'released') {
    followSteps(turn, 'done');
  } else if (mover.at === 'flipped' && !guards.registryToldFirst) {
    moment.may(by, 'leaves the registry for later', (next) => goOn(turn, next, 'finalizing'));
  } else if (mover.at === 'finalizing') {
    finalizeSteps(turn);
  } else if (mover.at === 'flipped' && (attempt.kind === 'reshape' || guards.targetPlacedFirst)) {
    followSteps(turn);
  }
}

/** Before the release: what runs twice makes none of it again, because the epoch is another by now. */
function finalizeSteps(turn: MoverTurn): void {
  const { moment, by, number, attempt, source } = turn;
  const { guards } = moment;
  if (guards.moverKeyTaken && guards.finalizedUnderKey && !mayExclude(source.movers)) return;
  moment.may(
    by,
    attempt.kind === 'relocate' ? 'drops slot and subscription' : 'has nothing to drop',
    (next) => {
      next.channels[number - 1] = undefined;
      goOn(turn, next, 'releasing');
    },
  );
}

/** The registry only follows to newer epochs. */
export function followSteps(turn: MoverTurn, then: MoverAt = 'finalizing'): void {
  const { moment, by, attempt } = turn;
  moment.may(by, 'tells the registry', (next) => {
    const { database, epoch } = attempt.to;
    if (next.registry.epoch < epoch) next.registry = { database, epoch };
    goOn(turn, next, then);
  });
}

/** Where a step begins again whose transaction was ended, or whose process was killed. */
const AGAIN: Partial<Record<MoverAt, MoverAt>> = {
  claiming: 'claim',
  preparing: 'prepare',
  copying: 'copy',
  rounding: 'ready',
  raising: 'ready',
  'caught up': 'ready',
  flipping: 'ready',
  placing: 'ready',
  'placing without claim': 'ready',
  fenced: 'ready',
  marked: 'ready',
  placed: 'ready',
};

function interruptions(turn: MoverTurn): void {
  const { moment, mover } = turn;
  const again = AGAIN[mover.at];
  if (!again || !moment.guards.hungMoverEnded) return;
  const { writers, movers } = turn.source;
  const holds =
    (writers.shared | writers.exclusive | movers.shared | movers.exclusive) & holder.mover(turn.index);
  if (mover.at === 'placing')
    moment.may(
      'server',
      `ends the transaction of ${turn.by} at the source; that at the target is open`,
      (next) => {
        const held = turn.target.movers.shared & holder.mover(turn.index);
        goOn(turn, next, 'placing without claim');
        (next.databases[turn.attempt.to.database] as Database).movers.shared |= held;
      },
    );
  if (mover.at === 'placing' || mover.at === 'placing without claim')
    moment.may('server', `ends the hanging transactions of ${turn.by}`, (next) =>
      goOn(turn, next, again, { token: 0 }),
    );
  else if (holds)
    moment.may('server', `ends the hanging transaction of ${turn.by}`, (next) =>
      goOn(turn, next, again, { token: 0 }),
    );
  else
    moment.may(turn.by, 'was killed and runs the step again', (next) =>
      goOn(turn, next, again, { token: 0 }),
    );
}
