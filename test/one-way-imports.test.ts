import { globSync, readFileSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { describe, expect, test } from 'vitest';

const root = join(import.meta.dirname, '..');
const files = ['infra', 'workflows', 'functions', 'test']
  .flatMap((folder) => globSync(`${folder}/**/*.{ts,mjs}`, { cwd: root }))
  .filter((file) => !/(^|\/)(node_modules|cdk\.out)\//.test(file));
const sources = new Map(files.map((file) => [file, readFileSync(join(root, file), 'utf8')]));

/** From left to right: a folder imports only from groups to its right, and from itself. */
const GROUPS = [
  ['api', 'tasks'],
  ['http'],
  // A restore is a backup that is read into a move; an export is one that is read into files.
  ['restores', 'exports', 'reconciliation'],
  [
    'accounts',
    'onboarding',
    'moves',
    'backups',
    'offboarding',
    'rollouts',
    'metering',
    'costs',
    'promotion',
    'alerts',
    'events',
    'upkeep',
    'rotations',
    'credentials',
    'residency',
  ],
  ['places'],
  ['tenant-data'],
  ['placement'],
  ['registry'],
  ['database'],
  ['aws'],
  ['resources'],
  ['contracts'],
];

/** Our own files that a file imports, also for their types only, as paths from the root. */
function importsOf(file: string): string[] {
  const source = sources.get(file) ?? '';
  return [...source.matchAll(/(?:\bfrom|\bimport)\s*\(?\s*['"](\.{1,2}\/[^'"]+)['"]/g)].map(([, path = '']) =>
    relative(root, join(root, dirname(file), path)),
  );
}

const within = (folder: string) => files.filter((file) => file.startsWith(`${folder}/`));

/** `file → import` for each import that the rule refuses. */
function violations(checked: string[], allowed: (imported: string, file: string) => boolean): string[] {
  return checked.flatMap((file) =>
    importsOf(file)
      .filter((imported) => !allowed(imported, file))
      .map((imported) => `${file} → ${imported}`),
  );
}

/** The first circle of imports that each file closes, as its files in order. */
function circles(checked: readonly string[]): string[][] {
  const known = new Set(checked);
  const done = new Set<string>();
  const path: string[] = [];
  const found: string[][] = [];
  const visit = (file: string): void => {
    if (path.includes(file)) found.push([...path.slice(path.indexOf(file)), file]);
    if (done.has(file)) return;
    done.add(file);
    path.push(file);
    for (const imported of importsOf(file)) if (known.has(imported)) visit(imported);
    path.pop();
  };
  for (const file of checked) visit(file);
  return found;
}

const groupOf = (folder: string | undefined) => GROUPS.findIndex((group) => group.includes(folder ?? ''));

describe('imports go one way', () => {
  test('inside functions/, from left to right', () => {
    const found = violations(within('functions'), (imported, file) => {
      const [top, to] = imported.split('/');
      const [, from] = file.split('/');
      return top === 'functions' && (to === from || groupOf(to) > groupOf(from));
    });
    expect(found).toEqual([]);
  });

  test('every folder of functions/ has its place', () => {
    const folders = new Set(within('functions').map((file) => file.split('/')[1]));
    expect([...folders].filter((folder) => groupOf(folder) === -1)).toEqual([]);
  });

  test('infra/local knows only what was synthesized', () => {
    expect(violations(within('infra/local'), (imported) => imported.startsWith('infra/local/'))).toEqual([]);
  });

  test('infra/local is reached through its index only', () => {
    const outside = files.filter((file) => !file.startsWith('infra/local/'));
    const found = violations(
      outside,
      (imported) => !imported.startsWith('infra/local/') || imported === 'infra/local/index.ts',
    );
    expect(found).toEqual([]);
  });

  test('infra and workflows take contracts, routes and the names of errors from functions, and nothing else', () => {
    const found = violations([...within('infra'), ...within('workflows')], (imported) =>
      imported.startsWith('functions/')
        ? /^functions\/contracts\/|\/(routes|errors)\.ts$/.test(imported)
        : true,
    );
    expect(found).toEqual([]);
  });

  test('what only the document of the API says is in no bundle: handlers and routes do not import it', () => {
    const ofDocument = /^functions\/(http\/openapi\/|api\/(.+\/(descriptions|answers)|openapi-document)\.ts)/;
    const sayers =
      /(^functions\/http\/openapi\/|\/(descriptions|answers|openapi-document|print-openapi)\.ts$)/;
    const found = violations(
      within('functions').filter((file) => !sayers.test(file)),
      (imported) => !ofDocument.test(imported),
    );
    expect(found).toEqual([]);
  });

  test('functions/aws constructs the clients of AWS services, and no other folder of functions does', () => {
    const constructing = within('functions').filter((file) =>
      /\bnew\s+[A-Z]\w*Client\(/.test(sources.get(file) ?? ''),
    );
    expect(constructing).toContain('functions/aws/clients.ts');
    expect(constructing.filter((file) => !file.startsWith('functions/aws/'))).toEqual([]);
  });

  test('in no circle, also of types, in the code that is deployed or runs it', () => {
    const checked = files.filter((file) => !file.startsWith('test/'));
    expect(circles(checked)).toEqual([]);
  });

  test('the deployed code imports no test', () => {
    const deployed = files.filter((file) => !file.startsWith('test/'));
    expect(violations(deployed, (imported) => !imported.startsWith('test/'))).toEqual([]);
  });

  test('imports resolve to files with their extension', () => {
    const known = new Set(files);
    const found = violations(files, (imported) => known.has(imported) || /\.(json|css)$/.test(imported));
    expect(found).toEqual([]);
  });
});

describe('files', () => {
  test('are named for what they do, in kebab-case', () => {
    const vague = files.filter((file) => /(^|\/)(utils?|helpers?|common|misc)(\/|\.)/.test(file));
    expect(vague).toEqual([]);
    const kebab = /^([a-z0-9]+(-[a-z0-9]+)*\/)*[a-z0-9]+(-[a-z0-9]+)*((\.full)?\.test|\.d)?\.(ts|mjs)$/;
    expect(files.filter((file) => !kebab.test(file))).toEqual([]);
  });

  test('under functions and workflows behave the same everywhere', () => {
    const deployed = [...within('functions'), ...within('workflows')];
    const local = /\bif\s*\([^)]*\b(is_?)?local\b/i;
    expect(deployed.filter((file) => local.test(sources.get(file) ?? ''))).toEqual([]);
  });

  test('under functions never ask a class for its name, which the bundle changes', () => {
    const asking = within('functions').filter((file) =>
      /\b[A-Z]\w*[a-z]\w*\.name\b/.test(sources.get(file) ?? ''),
    );
    expect(asking).toEqual([]);
  });
});
