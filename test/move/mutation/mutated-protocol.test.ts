import { readdir } from 'node:fs/promises';
import { expect, test } from 'vitest';
import { type Edit, withMutant } from './mutated-protocol.ts';

const mutate = (file: string, ...edits: Edit[]) =>
  withMutant({ file, edits }, async ({ fence }) => String(fence.lowerFence));

const FENCE = 'database/transfer/fence.ts';

test('an edit is found in the mutant, and nothing of it stays', async () => {
  const condition = "and state = 'fenced' and fence_token = $2`";
  expect(await mutate(FENCE, { found: condition, put: '/* mutated */`' })).toContain('/* mutated */');
  expect(await readdir(`${import.meta.dirname}/../../.mutants`)).not.toContainEqual(
    expect.stringContaining(`-${process.pid}.mjs`),
  );
});

test.each([
  ['that is gone', FENCE, 'and this guard was rewritten', /found 0 times/],
  ['that stands there twice', FENCE, "state = 'active', fence_token = null", /found 2 times/],
  ['of a file that no scenario runs', 'tenancy/claims.ts', 'export', /is no part of the protocol/],
])('a guard %s makes the mutant fail', async (_, file, found, failure) => {
  await expect(mutate(file, { found, put: '' })).rejects.toThrow(failure);
});
