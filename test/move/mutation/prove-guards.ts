import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { startHopWorld } from '../hop-world.ts';
import type { LocalSecrets } from '../local-secrets.ts';
import type { Mutant } from './mutants.ts';
import { withMutant } from './mutated-protocol.ts';
import * as protocol from './protocol.ts';
import type { Scenario } from './scenario.ts';

/** Tests that no scenario does harm with the code as it is, and that each mutant does the harm that it names. */
export function proveGuards<Name extends string>(
  scenarios: Readonly<Record<Name, Scenario>>,
  mutants: readonly Mutant<Name>[],
): void {
  let secrets: LocalSecrets;
  beforeAll(async () => {
    secrets = await startHopWorld();
  });
  afterAll(() => secrets?.stop());

  describe('the code as it is does no harm', () => {
    test.each(Object.keys(scenarios) as Name[])('%s', async (name) => {
      expect(await scenarios[name](protocol, secrets)).toEqual([]);
    });
  });

  describe('without a guard', () => {
    test.each(mutants.map((mutant) => [`${mutant.name} → ${mutant.harm}`, mutant] as const))(
      '%s',
      async (_, mutant) => {
        const { scenario, harm } = mutant;
        const shown = await withMutant(mutant, (mutated) => scenarios[scenario](mutated, secrets));
        expect(shown).toEqual([harm]);
      },
    );
  });

  test('every scenario is needed by a mutant', () => {
    const needed = new Set<string>(mutants.map(({ scenario }) => scenario));
    expect([...needed].sort()).toEqual(Object.keys(scenarios).sort());
  });
}
