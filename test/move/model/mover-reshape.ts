import {
  beginClaimed,
  flippable,
  flipSteps,
  goOn,
  hasClaim,
  isTurn,
  lowerSteps,
  type MoverTurn,
  open,
  raiseSteps,
  sourceOf,
} from './mover.ts';
import { contains, type Home, mayExclude, mayShare, type State } from './state.ts';

/** A reshape between its claim and its flip: both homes in one database, changes captured by key. */
export function reshapeSteps(turn: MoverTurn): void {
  const { moment, mover, by, source, attempt } = turn;
  const { guards } = moment;
  const homes = (next: State) => ({
    from: next.homes[attempt.from.home] as Home,
    to: next.homes[attempt.to.home] as Home,
  });

  switch (mover.at) {
    case 'prepare':
      if (guards.captureUnderLock && !mayExclude(source.writers)) return;
      if (!mayShare(source.movers) || !isTurn(turn)) return;
      if (!hasClaim(turn, source.row))
        moment.may(by, 'finds the claim lost', (next) => goOn(turn, next, 'overtaken'));
      else
        moment.may(
          by,
          `prepares: sees its claim${guards.captureUnderLock ? ', writers’ key exclusive' : ''}`,
          (next) =>
            open(turn, next, 'preparing', {
              movers: 'shared',
              ...(guards.captureUnderLock ? { writers: 'exclusive' } : {}),
            }),
        );
      return;
    case 'preparing':
      moment.may(by, 'switches capture on; the target is there, and empty', (next) => {
        const { row } = sourceOf(turn, next);
        if (!row) return;
        if (!row.capture || !guards.emptiedBeforeCapture)
          Object.assign(homes(next).to, { exists: true, value: 0 });
        row.capture = true;
        goOn(turn, next, 'copy');
      });
      return;
    case 'copy':
      beginClaimed(turn, 'takes a snapshot to copy', 'copying', (next) => {
        Object.assign(next.movers[turn.index] as typeof mover, { value: homes(next).from.value });
      });
      return;
    case 'copying':
      moment.may(by, 'commits the copy', (next) => {
        homes(next).to.value = mover.value;
        goOn(turn, next, 'ready');
      });
      return;
    case 'ready':
      if (source.log !== 0)
        beginClaimed(turn, 'takes a snapshot of the log and the rows', 'rounding', (next) => {
          Object.assign(next.movers[turn.index] as typeof mover, {
            value: homes(next).from.value,
            log: source.log,
          });
        });
      if (guards.deltaUnderFence) raiseSteps(turn);
      else if (source.log === 0)
        moment.may(by, 'finds the log empty', (next) => goOn(turn, next, 'caught up'));
      return;
    case 'caught up':
      raiseSteps(turn);
      return;
    case 'rounding':
      moment.may(by, 'commits the round', (next) => {
        const database = sourceOf(turn, next);
        // Rows of the log that somebody else has taken since the snapshot: a serialization failure.
        if (contains(database.log, mover.log)) {
          homes(next).to.value = mover.value;
          database.log = guards.roundInOneSnapshot ? database.log & ~mover.log : 0;
        }
        goOn(turn, next, 'ready');
      });
      return;
    case 'fenced':
      flipSteps(turn);
      lowerSteps(turn);
      return;
    case 'flipping':
      moment.may(by, 'applies the last changes and flips, if the fence is still its own', (next) => {
        const row = flippable(turn, next, mover.token);
        if (!row) return goOn(turn, next, 'ready', { token: 0 });
        const { from, to } = homes(next);
        const database = sourceOf(turn, next);
        if (database.log !== 0 && guards.deltaUnderFence) to.value = from.value;
        database.log = 0;
        const { database: number_, epoch, home } = attempt.to;
        Object.assign(row, { epoch, state: 'active', home, capture: false, token: 0, expired: false });
        row.forward = { database: number_, epoch };
        goOn(turn, next, 'flipped', { token: 0 });
      });
      return;
  }
}
