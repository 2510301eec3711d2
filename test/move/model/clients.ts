import { enter, follow } from './enter.ts';
import { contains, holder, letGo, mayExclude, mayShare, type State, type Writer, written } from './state.ts';
import type { Moment } from './world.ts';

/** Each writer writes once, and tries until it has. Those that are alike begin in their order. */
export function writerSteps(moment: Moment): void {
  const { state, guards, scenario } = moment;
  for (const [index, writer] of state.writers.entries()) {
    const by = `writer ${index + 1}`;
    const who = holder.writer(index);
    const database = state.databases[writer.cache.database];
    if (!database) continue;
    const self = (next: State) => next.writers[index] as Writer;

    if (writer.at === 'new' || writer.at === 'idle') {
      if (writer.at === 'new' && isAlike(state.writers[index - 1], writer)) continue;
      if (!guards.writersTakeLock) enterSteps(moment, index);
      else if (!guards.lockBeforeRead) enterSteps(moment, index);
      else if (mayShare(database.writers))
        moment.may(by, 'takes the writers’ key shared', (next) => {
          (next.databases[writer.cache.database] as typeof database).writers.shared |= who;
          self(next).at = 'locked';
        });
    } else if (writer.at === 'locked') {
      if (guards.lockBeforeRead) enterSteps(moment, index);
      else if (mayShare(database.writers))
        moment.may(by, 'takes the writers’ key shared', (next) => {
          (next.databases[writer.cache.database] as typeof database).writers.shared |= who;
          self(next).at = 'entered';
        });
    } else if (writer.at === 'entered') {
      if (state.homes[writer.home]?.exists === false) {
        moment.may(by, 'finds no tables and asks the registry', (next) => {
          Object.assign(self(next), { at: 'idle', cache: next.registry });
          letGo(next, who);
        });
        continue;
      }
      moment.may(by, 'writes and commits; acknowledged', (next) => commit(next, moment, index, 'done'));
      if (scenario.losesAnswers)
        moment.may(by, 'writes and commits; the answer is lost', (next) =>
          commit(next, moment, index, guards.unknownCommitNotRetried ? 'unsure' : 'idle'),
        );
    }
  }
}

/** Which of two equal writers goes first makes no difference. */
function isAlike(other: Writer | undefined, { cache: { database, epoch } }: Writer): boolean {
  return other?.at === 'new' && other.cache.database === database && other.cache.epoch === epoch;
}

function enterSteps(moment: Moment, index: number): void {
  const { state, guards } = moment;
  const { cache } = state.writers[index] as Writer;
  const answer = enter(state, cache, 'write', guards);
  const by = `writer ${index + 1}`;
  if (answer.kind === 'entered') {
    moment.may(
      by,
      `reads the placement and enters database ${cache.database}, epoch ${cache.epoch}`,
      (next) => {
        const self = next.writers[index] as Writer;
        self.at = guards.writersTakeLock && !guards.lockBeforeRead ? 'locked' : 'entered';
        self.home = answer.row.home;
        self.capture = answer.row.capture;
      },
    );
  } else {
    moment.may(by, `is refused, ${answer.kind}`, (next) => {
      const self = next.writers[index] as Writer;
      self.at = 'idle';
      letGo(next, holder.writer(index));
      follow(next, self, answer);
    });
  }
}

function commit(next: State, { scenario }: Moment, index: number, at: Writer['at']): void {
  const writer = next.writers[index] as Writer;
  const home = next.homes[writer.home];
  const database = next.databases[writer.cache.database];
  if (!home || !database) return;
  home.value = written(home.value, index);
  next.committed |= 1 << index;
  if (writer.capture) database.log |= 1 << index;
  for (const [attempt, { from }] of scenario.attempts.entries())
    if (from.home === writer.home) next.channels[attempt]?.queue.push(home.value);
  letGo(next, holder.writer(index));
  Object.assign(writer, { at, home: 0, capture: false });
}

/** One reader, which may come with an epoch from long ago. It reads once, at any time. */
export function readerSteps(moment: Moment): void {
  const { state, guards } = moment;
  const { reader } = state;
  if (!reader) return;
  const self = (next: State) => next.reader as typeof reader;
  if (reader.at === 'idle') {
    moment.may('reader', 'begins', (next) => {
      Object.assign(self(next), { at: 'begun', mustSee: next.committed });
    });
  } else if (reader.at === 'begun') {
    const answer = enter(state, reader.cache, 'read', guards);
    const { database, epoch } = reader.cache;
    if (answer.kind === 'entered') {
      moment.may('reader', `takes its snapshot and enters database ${database}, epoch ${epoch}`, (next) => {
        const { home } = answer.row;
        const snapshot = guards.readsInSnapshot ? (next.homes[home]?.value ?? 0) : 0;
        Object.assign(self(next), { at: 'entered', home, snapshot });
      });
    } else {
      moment.may('reader', `is refused, ${answer.kind}`, (next) => follow(next, self(next), answer));
    }
  } else if (reader.at === 'entered') {
    const home = state.homes[reader.home];
    if (!home?.exists) {
      moment.may('reader', 'finds no tables and asks the registry', (next) => {
        Object.assign(self(next), { at: 'begun', cache: next.registry, home: 0, snapshot: 0 });
      });
      return;
    }
    moment.may('reader', 'reads', (next) => {
      const seen = guards.readsInSnapshot ? reader.snapshot : home.value;
      if (!contains(seen, reader.mustSee)) next.failure = 'a reader went back in time';
      Object.assign(self(next), { at: 'done', mustSee: 0, home: 0, snapshot: 0 });
    });
  }
}

/** Time passes, and whoever meets a fence that has run out clears it: one transaction under the writers' key. */
export function fenceSteps(moment: Moment): void {
  const { state, guards } = moment;
  for (const [index, { row, writers }] of state.databases.entries()) {
    if (row?.state !== 'fenced') continue;
    const change = (next: State) => next.databases[index]?.row as typeof row;
    if (!row.expired)
      moment.may('time', 'lets the fence run out', (next) => {
        change(next).expired = true;
      });
    else if (guards.expiredFenceCleared && (!guards.clearingTakesLock || mayExclude(writers)))
      moment.may('router', 'clears the fence that ran out', (next) => {
        Object.assign(change(next), { state: 'active', token: 0, expired: false });
      });
  }
}
