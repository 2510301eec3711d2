import { enter } from './enter.ts';
import type { Guards } from './guards.ts';
import { contains, type Place, type Placement, type State } from './state.ts';

/** What must hold in every state; the words of the first that does not. */
export function violationOf(state: State, guards: Guards): string | undefined {
  if (state.failure) return state.failure;
  const open = homesThatAdmit(state, 'write', guards);
  if (open.size > 1) return 'two homes accept writes';
  for (const number of open) {
    const home = state.homes[number];
    if (!home?.exists) return 'the home that accepts writes was erased';
    if (!contains(home.value, state.committed))
      return 'a committed write is missing where the tenant is writable';
    if (home.value >= 16) return 'a write was applied twice';
  }
  return undefined;
}

/** Homes that somebody could enter who knows any place that was ever told: by the registry, a forward, or long ago. */
function homesThatAdmit(state: State, access: 'read' | 'write', guards: Guards): Set<number> {
  const told: Place[] = [state.registry, ...state.writers.map(({ cache }) => cache)];
  if (state.reader) told.push(state.reader.cache);
  for (const { row } of state.databases) if (row?.forward) told.push(row.forward);
  const homes = new Set<number>();
  for (const place of told) {
    const answer = enter(state, place, access, guards);
    if (answer.kind === 'entered') homes.add(answer.row.home);
  }
  return homes;
}

/** Where the tenant lives, if it can be read anywhere. */
export function homeOf(state: State, guards: Guards): number | undefined {
  return homesThatAdmit(state, 'read', guards).values().next().value;
}

/** The tenant accepts a write, and nobody keeps it from entering. */
export function isWritable(state: State, guards: Guards): boolean {
  return [...state.databases.keys()].some((database) => {
    const { row, writers } = state.databases[database] as State['databases'][number];
    return (
      writers.exclusive === 0 &&
      row?.state === 'active' &&
      homesThatAdmit(state, 'write', guards).has(row.home) &&
      state.homes[row.home]?.exists === true
    );
  });
}

/** Every client has had its answer, or knows that it will not get one. */
export function isAnswered({ writers, reader }: State): boolean {
  return writers.every(({ at }) => at === 'done' || at === 'unsure') && (!reader || reader.at === 'done');
}

/** Nothing of a move is left but what was committed, and the registry knows: from here a new mover can begin. */
export function isSettled(state: State): boolean {
  const rows = state.databases.flatMap(({ row }) => (row ? [row] : []));
  const home = state.databases[state.registry.database]?.row;
  return (
    home?.state === 'active' &&
    home.epoch === state.registry.epoch &&
    rows.every((row: Placement) => row === home || row.state === 'moved') &&
    rows.every(({ mover, capture }) => mover === 0 && !capture) &&
    state.channels.every((channel) => channel === undefined)
  );
}
