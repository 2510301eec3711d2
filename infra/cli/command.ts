import type { ApiClient } from './api-client.ts';
import type { AwsClients } from './aws-clients.ts';
import type { Screen } from './screen.ts';

/** What a command works with. Nothing is connected before it is asked for. */
export interface Session {
  api(): Promise<ApiClient>;
  /** Of each AWS region that is meant. */
  aws(): Promise<AwsClients[]>;
  screen: Screen;
}

export interface Arguments {
  /** As many as the synopsis has; the optional ones may be missing. */
  words: readonly string[];
  flags: ReadonlySet<string>;
  /** Values of the options that were given. */
  options: ReadonlyMap<string, string>;
}

export interface Command {
  name: string;
  /** Such as `SLUG [MOVEID]`: brackets are optional. */
  words: string;
  /** Without the dashes. */
  flags?: readonly string[];
  /** Flags that take a value, with the word that the synopsis has for it. */
  options?: Readonly<Record<string, string>>;
  /** One line. */
  summary: string;
  /**
   * @returns whether what it was to do has succeeded
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
