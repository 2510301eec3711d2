import type { Database, Place, State } from './state.ts';

/** Equal for two states exactly if they are equal. Written out, since most of the checker's time goes by here. */
export function keyOf(state: State): string {
  const { databases, homes, channels, turn, registry, writers, reader, movers } = state;
  let key = `${place(registry)} ${state.recoveries} ${state.cleanUp} ${state.committed} ${state.failure}`;
  for (const each of databases) key += database(each);
  for (const { value, exists } of homes) key += `;${value}${exists ? '' : 'x'}`;
  for (const channel of channels)
    key += channel ? `|${channel.queue}<${channel.arrived}${channel.synced ? 's' : ''}` : '|-';
  key += `+${turn}`;
  for (const { at, cache, home, capture } of writers)
    key += `/${at} ${place(cache)} ${home}${capture ? 'c' : ''}`;
  if (reader)
    key += `?${reader.at} ${place(reader.cache)} ${reader.mustSee} ${reader.home} ${reader.snapshot}`;
  for (const { at, token, value, log } of movers) key += `!${at} ${token} ${value} ${log}`;
  return key;
}

function place({ database, epoch }: Place): string {
  return `${database}@${epoch}`;
}

function database({ row, writers, movers, log }: Database): string {
  const locks = `#${writers.shared},${writers.exclusive},${movers.shared},${movers.exclusive},${log}`;
  if (!row) return `${locks}-`;
  const { epoch, state, home, capture, token, expired, forward, mover } = row;
  const end = forward ? place(forward) : '';
  return `${locks}${epoch}${state}${home}${capture ? 'c' : ''}${token}${expired ? 'e' : ''}>${end}^${mover}`;
}
