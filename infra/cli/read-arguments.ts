import { parseArgs } from 'node:util';
import { type Arguments, type Command, synopsis } from './command.ts';
import { UsageError } from './errors.ts';

/** @throws {UsageError} for flags the command does not have, and too few or too many words */
export function readArguments(command: Command, argv: readonly string[]): Arguments {
  const refused = (why: string): UsageError => new UsageError(`${why}; usage: strata ${synopsis(command)}`);
  let parsed: { values: Record<string, unknown>; positionals: string[] };
  try {
    parsed = parseArgs({
      args: [...argv],
      allowPositionals: true,
      options: Object.fromEntries((command.flags ?? []).map((flag) => [flag, { type: 'boolean' as const }])),
    });
  } catch (cause) {
    const { code, message } = cause as Error & { code?: string };
    const flag = /'(--?[^'\s]+)/.exec(message)?.[1];
    throw refused(
      code === 'ERR_PARSE_ARGS_UNKNOWN_OPTION'
        ? `${command.name} does not take ${flag}`
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
  return { words, flags: new Set(Object.keys(parsed.values)) };
}
