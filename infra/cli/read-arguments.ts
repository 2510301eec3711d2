import { parseArgs } from 'node:util';
import { type Arguments, type Command, synopsis } from './command.ts';
import { UsageError } from './errors.ts';

/** @throws {UsageError} for flags the command does not have, and too few or too many words */
export function readArguments(command: Command, argv: readonly string[]): Arguments {
  const refused = (why: string): UsageError => new UsageError(`${why}; usage: strata ${synopsis(command)}`);
  const valued = Object.keys(command.options ?? {});
  let parsed: { values: Record<string, unknown>; positionals: string[] };
  try {
    parsed = parseArgs({
      args: [...argv],
      allowPositionals: true,
      options: Object.fromEntries([
        ...(command.flags ?? []).map((flag) => [flag, { type: 'boolean' as const }] as const),
        ...valued.map((option) => [option, { type: 'string' as const }] as const),
      ]),
    });
  } catch (cause) {
    const { code, message } = cause as Error & { code?: string };
    const flag = /'(--?[^'\s]+)/.exec(message)?.[1];
    throw refused(
      code === 'ERR_PARSE_ARGS_UNKNOWN_OPTION'
        ? `${command.name} does not take ${flag}`
        : valued.includes(flag?.replace(/^--/, '') ?? '')
          ? `${flag} needs a value`
          : `${flag} has no value`,
    );
  }
  const expected = command.words.split(' ').filter((word) => word !== '');
  const required = expected.filter((word) => !word.startsWith('['));
  const { positionals: words } = parsed;
  const missing = required[words.length];
  if (missing !== undefined) throw refused(`${missing} is missing`);
  const surplus = words[expected.length];
  if (surplus !== undefined) throw refused(`"${surplus}" is one word too many`);
  const entries = Object.entries(parsed.values);
  const isText = (entry: [string, unknown]): entry is [string, string] => typeof entry[1] === 'string';
  return {
    words,
    flags: new Set(entries.filter((entry) => !isText(entry)).map(([flag]) => flag)),
    options: new Map(entries.filter(isText)),
  };
}
