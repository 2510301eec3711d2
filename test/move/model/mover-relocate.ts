import {
  beginClaimed,
  flippable,
  flipSteps,
  followSteps,
  goOn,
  lowerSteps,
  type MoverTurn,
  raiseSteps,
} from './mover.ts';
import {
  type Attempt,
  type Database,
  emptyDatabase,
  type Home,
  holder,
  mayShare,
  type State,
} from './state.ts';
import type { Moment } from './world.ts';

/** A relocate between its claim and its flip: two databases, and replication that takes its time. */
export function relocateSteps(turn: MoverTurn): void {
  const { moment, mover, by, source, attempt, number } = turn;
  const { state, guards } = moment;
  const channel = state.channels[number - 1];

  switch (mover.at) {
    case 'prepare':
      beginClaimed(turn, 'prepares: sees its claim', 'preparing');
      return;
    case 'preparing':
      moment.may(by, 'makes the target’s tables, the slot and the subscription', (next) => {
        if (!next.channels[number - 1]) {
          next.channels[number - 1] = { queue: [], synced: false, arrived: 0 };
          (next.homes[attempt.to.home] as Home).exists = true;
        }
        goOn(turn, next, 'ready');
      });
      return;
    case 'ready':
      if (!channel) return;
      if (channel.synced || !guards.tablesAwaited) raiseSteps(turn);
      return;
    case 'fenced':
      // `enter_move` refuses a fence of another token.
      if (source.row?.state === 'fenced' && source.row.token === mover.token)
        moment.may(by, 'writes the marker of its fence', (next) => {
          next.channels[number - 1]?.queue.push(-mover.token);
          goOn(turn, next, 'marked');
        });
      lowerSteps(turn);
      return;
    case 'marked':
      lowerSteps(turn);
      if (guards.markerAwaited && channel?.arrived !== mover.token) return;
      if (guards.targetPlacedFirst) placingSteps(turn);
      else flipSteps(turn);
      return;
    case 'placing':
    case 'placing without claim':
      moment.may(
        by,
        `places the tenant at the target${mover.at === 'placing' ? '' : ', though its claim has ended'}`,
        (next) => {
          const placed = place(next, attempt, moment);
          if (mover.at === 'placing')
            goOn(turn, next, placed ? 'placed' : 'overtaken', placed ? {} : { token: 0 });
          else goOn(turn, next, 'ready', { token: 0 });
        },
      );
      return;
    case 'placed':
      flipSteps(turn);
      lowerSteps(turn);
      return;
    case 'flipping':
      moment.may(by, 'flips, if the fence is still its own', (next) => {
        const row = flippable(turn, next, mover.token);
        if (!row) return goOn(turn, next, 'ready', { token: 0 });
        const { database, epoch } = attempt.to;
        Object.assign(row, { epoch, state: 'moved', capture: false, token: 0, expired: false });
        row.forward = { database, epoch };
        goOn(turn, next, 'flipped', { token: 0 });
      });
      return;
    case 'flipped':
      if (guards.targetPlacedFirst) return;
      if (state.databases[attempt.to.database]?.row?.epoch === attempt.to.epoch) followSteps(turn);
      else
        moment.may(by, 'places the tenant at the target', (next) => {
          place(next, attempt, moment);
        });
      return;
  }
}

/** Begins at the target: takes its movers' key, and only then sees that the claim at the source still stands. */
function placingSteps(turn: MoverTurn): void {
  const { moment, target, attempt, index } = turn;
  const keyed = moment.guards.targetKeyTaken;
  if (keyed && !mayShare(target.movers)) return;
  beginClaimed(turn, 'sees the marker, and its claim, and begins at the target', 'placing', (next) => {
    if (keyed) (next.databases[attempt.to.database] as Database).movers.shared |= holder.mover(index);
  });
}

/** `placeTenant`: answers whether the tenant is placed there as asked. */
function place(next: State, { to }: Attempt, { guards }: Moment): boolean {
  const database = next.databases[to.database] as Database;
  const { row } = database;
  if (row && guards.placingCompares && !(row.state === 'moved' && row.epoch < to.epoch))
    return row.epoch === to.epoch && row.home === to.home && row.state !== 'moved';
  database.row = emptyDatabase({ epoch: to.epoch, state: 'active', home: to.home }).row;
  return true;
}

/** The subscriptions of all attempts, in their own time and in the order of the source's commits. */
export function replicationSteps(moment: Moment): void {
  const { state, scenario } = moment;
  for (const [index, channel] of state.channels.entries()) {
    const attempt = scenario.attempts[index];
    if (!channel || !attempt) continue;
    const by = `replication ${index + 1}`;
    if (!channel.synced)
      moment.may(by, 'has copied the tables', (next) => {
        const mine = next.channels[index] as typeof channel;
        const [from, to] = [next.homes[attempt.from.home], next.homes[attempt.to.home]];
        if (from && to) to.value = from.value;
        // What was written before that is in the copy.
        mine.queue = mine.queue.filter((item) => item < 0);
        mine.synced = true;
      });
    const [item] = channel.queue;
    if (item === undefined) continue;
    moment.may(by, item < 0 ? 'carries a marker over' : 'carries a write over', (next) => {
      const mine = next.channels[index] as typeof channel;
      mine.queue.shift();
      if (item < 0) mine.arrived = -item;
      else if (mine.synced) (next.homes[attempt.to.home] as Home).value = item;
    });
  }
}
