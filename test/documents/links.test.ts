import { existsSync, globSync, readFileSync, statSync } from 'node:fs';
import { dirname, join, relative, resolve } from 'node:path';
import { describe, expect, test } from 'vitest';

const ROOT = resolve(import.meta.dirname, '../..');
const documents = ['README.md', ...globSync('docs/*.md', { cwd: ROOT }), 'infra/local/README.md'];
const textOf = (file: string) => readFileSync(join(ROOT, file), 'utf8');

/** As GitHub makes the anchor of a heading. */
const anchorOf = (heading: string) =>
  heading
    .trim()
    .toLowerCase()
    .replaceAll(/[^\p{L}\p{N}\s_-]/gu, '')
    .replaceAll(/\s/g, '-');

function anchorsOf(file: string): Set<string> {
  const prose = textOf(file).replaceAll(/^```[\s\S]*?^```/gm, '');
  return new Set([...prose.matchAll(/^#{1,6} (.+)$/gm)].map(([, heading = '']) => anchorOf(heading)));
}

describe.each(documents)('%s', (document) => {
  const prose = textOf(document).replaceAll(/^```[\s\S]*?^```/gm, '');

  test('links only to files and headings that exist', () => {
    const broken = [
      ...prose.replaceAll(/`[^`\n]*`/g, '`').matchAll(/\]\((?!https?:|mailto:)([^)\s]*)\)/g),
    ].flatMap(([, target = '']) => {
      const [path = '', anchor] = target.split('#');
      const file = path === '' ? document : relative(ROOT, resolve(ROOT, dirname(document), path));
      if (!existsSync(join(ROOT, file))) return [target];
      const isDocument = file.endsWith('.md') && statSync(join(ROOT, file)).isFile();
      return anchor !== undefined && isDocument && !anchorsOf(file).has(anchor) ? [target] : [];
    });
    expect(broken).toEqual([]);
  });

  test('names only files of the project that exist', () => {
    const named = [...prose.matchAll(/`((?:test|functions|infra|workflows)\/[\w./-]+)`/g)].map(
      ([, path = '']) => path,
    );
    expect(named.filter((path) => !existsSync(join(ROOT, path)))).toEqual([]);
  });
});

test('the README links to every document', () => {
  const readme = textOf('README.md');
  expect(documents.filter((file) => file.startsWith('docs/') && !readme.includes(`(${file})`))).toEqual([]);
});
