/** Each guard of the placement protocol is taken out of the real code, and the harm is shown that it prevents. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { startHopWorld } from '../hop-world.ts';
import type { LocalSecrets } from '../local-secrets.ts';
import { mutants } from './mutants.ts';
import { realCode, withMutant } from './protocol-code.ts';
import { scenarios } from './scenarios.ts';

let secrets: LocalSecrets;
beforeAll(async () => {
  secrets = await startHopWorld();
});
afterAll(() => secrets?.stop());

describe('the code as it is', () => {
  test.each(Object.keys(scenarios) as (keyof typeof scenarios)[])('%s: no harm', async (name) => {
    expect(await scenarios[name](await realCode(), secrets)).toEqual([]);
  });
});

describe('without a guard', () => {
  test.each(mutants)('$name → $scenario: $harm', async ({ scenario, harm, ...mutation }) => {
    const shown = await withMutant(mutation, (code) => scenarios[scenario](code, secrets));
    expect(shown).toEqual([harm]);
  });
});
