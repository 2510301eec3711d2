import { globSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, describe, expect, test } from 'vitest';
import { sharedBundle } from '../infra/synthesized-app.ts';
import { staticModules } from './static-modules.ts';

let directory: string;
beforeAll(async () => {
  directory = await sharedBundle();
});

/** What a function of the data plane reads, compiles and runs before its first request. */
describe.each(['assessments', 'audit', 'people', 'skills', 'users'])(
  'the bundle of the %s function',
  (context) => {
    let code: string;
    beforeAll(() => {
      code = staticModules(join(directory, `api/${context}/handler.mjs`))
        .map((module) => readFileSync(module, 'utf8'))
        .join('\n');
    });

    test('stays small', () => {
      expect(Buffer.byteLength(code)).toBeLessThan(400_000);
    });

    test('loads no SDK client before it is needed', () => {
      expect(code).not.toContain('smithy');
    });

    test('does not import node:http, which loads a whole HTTP client', () => {
      expect(code).not.toMatch(/(?:from|import|require\()\s*"(?:node:)?https?"/);
    });
  },
);

test('no SDK client loads that HTTP client either: it asks for node:http in another way', () => {
  const files = globSync('**/*.mjs', { cwd: directory });
  const codes = files.map((file) => readFileSync(join(directory, file), 'utf8'));
  expect(codes.filter((code) => /(?:from|import\(?)\s*"(?:node:)?http"/.test(code))).toEqual([]);
  expect(codes.filter((code) => code.includes('getBuiltinModule("node:http")'))).toHaveLength(1);
});
