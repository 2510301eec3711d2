import { homeOf } from './invariants.ts';
import { type Database, type Home, holder, letGo, mayExclude, SHARED_HOME, type State } from './state.ts';
import type { Moment } from './world.ts';

/** Erases what the first attempt has left at its source, any time after it was settled; the next move may run by then. */
export function cleanUpSteps(moment: Moment): void {
  const { state, scenario, guards } = moment;
  const attempt = scenario.attempts[0];
  if (!scenario.cleansUp || !attempt) return;
  const source = state.databases[attempt.from.database] as Database;
  const goOn = (next: State, at: State['cleanUp']) => {
    letGo(next, holder.cleanUp);
    next.cleanUp = at;
  };
  const settled = state.registry.epoch >= attempt.to.epoch && source.row?.mover !== 1;

  if (state.cleanUp === 'idle') {
    if (!settled || !mayExclude(source.movers)) return;
    if (guards.cleanUpRespectsClaim && source.row?.mover !== 0) return;
    moment.may('clean-up', 'takes the movers’ key exclusively', (next) => {
      next.cleanUp = 'erasing';
      (next.databases[attempt.from.database] as Database).movers.exclusive |= holder.cleanUp;
    });
  } else if (state.cleanUp === 'erasing') {
    if (guards.cleanUpRechecksEpoch && source.row?.epoch !== attempt.to.epoch)
      moment.may('clean-up', 'finds another epoch and ends', (next) => goOn(next, 'done'));
    else if (guards.cleanUpRespectsClaim && source.row?.mover !== 0)
      moment.may('clean-up', 'finds the tenant claimed and waits', (next) => goOn(next, 'idle'));
    else
      moment.may('clean-up', 'erases what the tenant left', (next) => {
        const home = next.homes[attempt.from.home] as Home;
        if (homeOf(next, guards) === attempt.from.home) next.failure = 'clean-up erased the current home';
        if (attempt.from.home === SHARED_HOME) home.value = 0;
        else Object.assign(home, { exists: false, value: 0 });
        goOn(next, 'done');
      });
  }
}
