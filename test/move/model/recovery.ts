import {
  type Attempt,
  type Database,
  emptyDatabase,
  type Home,
  holder,
  letGo,
  mayExclude,
  type Placement,
  type RecoveryAt,
  SHARED_HOME,
  type State,
} from './state.ts';
import type { Moment } from './world.ts';

/**
 * Settles or rolls back the first attempt, at any time: nobody can tell a dead mover from a slow one. First the claim is
 * taken and the fence cleared, in one transaction at the source; then what the attempt made is dropped, in another one,
 * where it was made.
 */
export function recoverySteps(moment: Moment): void {
  for (const index of moment.state.recoveries.keys()) stepsOf(moment, index);
}

function stepsOf(moment: Moment, index: number): void {
  const { state, scenario, guards } = moment;
  const attempt = scenario.attempts[0] as Attempt;
  const source = state.databases[attempt.from.database] as Database;
  const target = state.databases[attempt.to.database] as Database;
  const by = `recovery ${index + 1} (attempt 1)`;
  const who = holder.recovery(index);
  const sourceIn = (next: State) => next.databases[attempt.from.database] as Database;
  const goOn = (next: State, to: RecoveryAt) => {
    letGo(next, who);
    next.recoveries[index] = to;
  };

  switch (state.recoveries[index]) {
    case 'idle':
      // Another run of it may have begun before, however far it has come.
      if (source.row?.mover !== 1 && state.recoveries.every((at) => at === 'idle')) return;
      if (guards.moverKeyTaken && !mayExclude(source.movers)) return;
      moment.may(by, guards.moverKeyTaken ? 'takes the movers’ key exclusively' : 'begins', (next) => {
        next.recoveries[index] = 'taking';
        if (guards.moverKeyTaken) sourceIn(next).movers.exclusive |= who;
      });
      return;
    case 'taking':
      if (source.row?.mover !== 1)
        moment.may(by, 'finds that the claim is not the attempt’s', (next) =>
          goOn(
            next,
            attempt.kind === 'relocate' || source.row?.epoch === attempt.from.epoch ? 'drop' : 'done',
          ),
        );
      else if (source.row.epoch !== attempt.from.epoch)
        moment.may(by, 'finds the move committed: tells the registry and releases the tenant', (next) => {
          const { database, epoch } = attempt.to;
          if (next.registry.epoch < epoch) next.registry = { database, epoch };
          (sourceIn(next).row as Placement).mover = 0;
          next.channels[0] = undefined;
          goOn(next, 'done');
        });
      else
        moment.may(by, 'takes the claim from the attempt and clears its fence', (next) => {
          const row = sourceIn(next).row as Placement;
          Object.assign(row, { state: 'active', token: 0, expired: false, capture: false, mover: 0 });
          goOn(next, 'drop');
        });
      return;
    case 'drop':
      if (!keyIsFree(moment, attempt, target)) return;
      moment.may(by, 'takes the movers’ key of the target exclusively, to drop', (next) => {
        goOn(next, 'dropping');
        if (needsKey(moment, attempt))
          (next.databases[attempt.to.database] as Database).movers.exclusive |= who;
      });
      return;
    case 'dropping':
      moment.may(by, 'drops what the attempt made', (next) => {
        drop(next, attempt, moment);
        goOn(next, 'done');
      });
      return;
  }
}

function needsKey({ guards }: Moment, { kind }: Attempt): boolean {
  return kind === 'reshape' ? guards.moverKeyTaken : guards.targetKeyTaken;
}
function keyIsFree(moment: Moment, attempt: Attempt, target: Database): boolean {
  return !needsKey(moment, attempt) || mayExclude(target.movers);
}

function drop(next: State, { kind, from, to, returns }: Attempt, { guards }: Moment): void {
  const target = next.databases[to.database] as Database;
  const home = next.homes[to.home] as Home;
  if (to.home !== SHARED_HOME) {
    // A schema of this attempt's own, unless the move was committed after all.
    if (target.row?.home !== to.home || target.row.epoch !== to.epoch || kind === 'relocate')
      Object.assign(home, { exists: false, value: 0 });
  } else if (!guards.rollBackSparesClaimed || (target.row?.mover === 0 && target.row.epoch === from.epoch)) {
    home.value = 0;
    target.log = 0;
  }
  if (kind === 'reshape') return;
  next.channels[0] = undefined;
  // Only the row that this attempt placed, by name: another attempt may be there under the same epoch.
  if (target.row?.epoch !== to.epoch || target.row.home !== to.home) return;
  if (returns && guards.forwardKept) {
    const forward = { database: from.database, epoch: from.epoch };
    target.row = emptyDatabase({ epoch: from.epoch, state: 'moved', home: from.home, forward }).row;
  } else target.row = undefined;
}
