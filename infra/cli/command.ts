import { parseArgs } from 'node:util';
import type { ApiClient } from './api-client.ts';
import type { AwsClients } from './aws-clients.ts';
import { UsageError } from './errors.ts';
import type { Screen } from './screen.ts';
import type { Settings } from './settings.ts';

/** What a command works with. Connections are made at first use. */
export interface Session {
  api(): Promise<ApiClient>;
  /** One set for each AWS region in use. */
  aws(): Promise<AwsClients[]>;
  screen: Screen;
  settings: Settings;
}

export interface Arguments {
  /** As many as the synopsis has; optional ones may be missing. */
  words: readonly string[];
  flags: ReadonlySet<string>;
  /** Values of the given options. */
  options: ReadonlyMap<string, string>;
}

export interface Command {
  name: string;
  /** Such as `SLUG [MOVEID]`: brackets mark optional words. */
  words: string;
  /** Without the dashes. */
  flags?: readonly string[];
  /** Flags that take a value, with the word for the value in the synopsis. */
  options?: Readonly<Record<string, string>>;
  /** One line. */
  summary: string;
  /**
   * @returns true when the command's work has succeeded
   * @throws {CommandError}
   */
  run(given: Arguments, session: Session): Promise<boolean>;
}

/** `move SLUG TARGET [--dry-run]` */
export function synopsis({ name, words, flags = [], options = {} }: Command): string {
  const values = Object.entries(options).map(([option, word]) => `[--${option} ${word}]`);
  return [name, words, ...values, ...flags.map((flag) => `[--${flag}]`)]
    .filter((part) => part !== '')
    .join(' ');
}

/** @throws {UsageError} for flags the command does not have, too few or too many words, and empty words and values */
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
  if (surplus !== undefined) throw refused(`${command.name} does not take "${surplus}"`);
  // Of a shell variable that is not set: it must not mean all tenants, or no option.
  const blank = words.indexOf('');
  if (blank !== -1) throw refused(`${expected[blank]?.replace(/[[\]]/g, '')} is empty`);
  const entries = Object.entries(parsed.values);
  const empty = entries.find(([, value]) => value === '')?.[0];
  if (empty !== undefined) throw refused(`--${empty} is empty`);
  const isText = (entry: [string, unknown]): entry is [string, string] => typeof entry[1] === 'string';
  return {
    words,
    flags: new Set(entries.filter((entry) => !isText(entry)).map(([flag]) => flag)),
    options: new Map(entries.filter(isText)),
  };
}
