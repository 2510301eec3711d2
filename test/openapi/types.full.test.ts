import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';

const PROJECT = join(import.meta.dirname, '../..');

test('the committed types are what openapi-typescript makes of the document', { timeout: 180_000 }, () => {
  const directory = mkdtempSync(join(tmpdir(), 'strata-types-'));
  onTestFinished(() => rmSync(directory, { recursive: true, force: true }));
  const made = join(directory, 'api-types.ts');
  execFileSync('npm', ['ci', '--prefix', 'infra/cli/openapi', '--silent'], { cwd: PROJECT });
  execFileSync(process.execPath, ['infra/cli/openapi/write-types.ts', made], { cwd: PROJECT });
  expect(readFileSync(made, 'utf8')).toBe(readFileSync(join(PROJECT, 'infra/cli/api-types.ts'), 'utf8'));
});
