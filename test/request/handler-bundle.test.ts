import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { bundleFunctions } from '../../infra/constructs/function-bundle.ts';
import { staticModules } from './static-modules.ts';

/** What a function of the data plane reads, compiles and runs before its first request. */
describe.each(['people', 'skills'])('the bundle of the %s function', (context) => {
  const directory = mkdtempSync(join(tmpdir(), 'strata-bundle-'));
  let code: string;
  beforeAll(() => {
    bundleFunctions(resolve(import.meta.dirname, '../..'), directory);
    code = staticModules(join(directory, `api/${context}/handler.mjs`))
      .map((module) => readFileSync(module, 'utf8'))
      .join('\n');
  });
  afterAll(() => rmSync(directory, { recursive: true, force: true }));

  test('stays small', () => {
    expect(Buffer.byteLength(code)).toBeLessThan(400_000);
  });

  test('loads no SDK client before it is needed', () => {
    expect(code).not.toContain('smithy');
  });

  test('does not import node:http, which loads a whole HTTP client', () => {
    expect(code).not.toMatch(/(?:from|import|require\()\s*"(?:node:)?https?"/);
  });
});
