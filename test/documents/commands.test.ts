import { globSync, readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { describe, expect, test } from 'vitest';
import { readArguments, synopsis } from '../../infra/cli/command.ts';
import { COMMANDS } from '../../infra/cli/commands/all-commands.ts';

const ROOT = resolve(import.meta.dirname, '../..');
const documents = ['README.md', ...globSync('docs/*.md', { cwd: ROOT }), 'infra/local/README.md'];
const textOf = (file: string) => readFileSync(join(ROOT, file), 'utf8');
const scripts = Object.keys(JSON.parse(textOf('package.json')).scripts);

interface Shown {
  readonly line: number;
  readonly text: string;
}

/** What a document shows as code: the lines of its blocks, and what is between backticks in its text. */
function codeOf(file: string): Shown[] {
  let inBlock = false;
  return textOf(file)
    .split('\n')
    .flatMap((text, index) => {
      const line = index + 1;
      if (/^\s*```/.test(text)) {
        inBlock = !inBlock;
        return [];
      }
      if (inBlock) return [{ line, text }];
      return [...text.matchAll(/`([^`]+)`/g)].map(([, code = '']) => ({ line, text: code }));
    });
}

/** The words of each call of the command line in a line of code, without what the shell itself takes. */
function callsIn(text: string): string[][] {
  return [...text.matchAll(/(?:npm run (?:--silent )?strata --|(?<![\w/.=-])strata) ([a-z][^|;)&>]*)/g)].map(
    ([, call = '']) => {
      const [command = ''] = call.split(/\s#/);
      return [...command.matchAll(/'[^']*'|"[^"]*"|\S+/g)].map(([word]) => word.replaceAll(/['"]/g, ''));
    },
  );
}

describe.each(documents)('%s', (document) => {
  const code = codeOf(document);

  test('shows only scripts that package.json has', () => {
    const unknown = code.flatMap(({ line, text }) =>
      [...text.matchAll(/npm run (?:--silent )?([\w:-]+)/g)].flatMap(([, script = '']) =>
        scripts.includes(script) ? [] : [`${line}: npm run ${script}`],
      ),
    );
    expect(unknown).toEqual([]);
  });

  test('shows only calls that the command line takes', () => {
    const refused = code.flatMap(({ line, text }) =>
      callsIn(text).flatMap(([name = '', ...words]) => {
        const command = COMMANDS.find((one) => one.name === name);
        if (command === undefined) return [`${line}: ${name}`];
        // Text may name a command without its words.
        if (words.length === 0 || words.includes('…')) return [];
        try {
          readArguments(command, words);
          return [];
        } catch (cause) {
          return [`${line}: ${(cause as Error).message}`];
        }
      }),
    );
    expect(refused).toEqual([]);
  });
});

test('the documents show calls by the hundred, and none is missed by these tests', () => {
  const calls = documents.flatMap((file) => codeOf(file).flatMap(({ text }) => callsIn(text)));
  expect(calls.length).toBeGreaterThan(150);
  expect(callsIn('npm run --silent strata -- tick daily   # all')).toEqual([['tick', 'daily']]);
  expect(callsIn('psql "dbname=strata user=rdsadmin"')).toEqual([]);
});

describe('docs/cli.md', () => {
  const document = textOf('docs/cli.md');

  test('shows the synopses as the command line prints them', () => {
    const shown = document.match(/^[a-z-]+ .*\[--.*$/gm) ?? [];
    // What `--json` does is said once, for all commands.
    const optionsOf = (text: string) => (text.match(/--(?!json)[a-z-]+( [A-Z|a-z]+)?/g) ?? []).sort();
    const differing = shown.filter((line) => {
      const command = COMMANDS.find(({ name }) => name === line.split(' ')[0]);
      return command !== undefined && optionsOf(line).join() !== optionsOf(synopsis(command)).join();
    });
    expect(shown.length).toBeGreaterThan(5);
    expect(differing).toEqual([]);
  });

  test('names every command, and all that take --json', () => {
    const unnamed = COMMANDS.filter(
      ({ name }) => !new RegExp(`\`${name}\\b|-- ${name}\\b|^${name} `, 'm').test(document),
    );
    expect(unnamed.map(({ name }) => name)).toEqual(['help']);
    const [, list = ''] = /These commands take it: ([^.]*)\./.exec(document) ?? [];
    const taking = COMMANDS.filter(({ flags = [] }) => flags.includes('json')).map(({ name }) => name);
    expect([...list.matchAll(/`([a-z-]+)`/g)].map(([, name]) => name).sort()).toEqual(taking.sort());
  });
});

test('no test uses the names of docs/extending.md, so that they pass in the release it leads through', () => {
  const guide = textOf('docs/extending.md');
  const added = [
    ...[...guide.matchAll(/^\+ {4}(\w+): varchar\(100\)/gm)].map(([, column = '']) => column),
    ...[...guide.matchAll(/^\+export const (\w+) = tenantTable/gm)].map(([, table = '']) => table),
  ];
  expect(added).toEqual(['nickname', 'offices']);
  const using = globSync('test/**/*.ts', { cwd: ROOT }).filter(
    (file) =>
      !/extending\.full\.test|documents.commands\.test/.test(file) &&
      added.some((name) => new RegExp(`\\b${name}\\b`).test(textOf(file))),
  );
  expect(using).toEqual([]);
});
