import type { TestTenant } from '../../test-database.ts';
import type { LocalSecrets } from '../local-secrets.ts';
import type { Protocol } from './mutated-protocol.ts';
import { Stage } from './stage.ts';

/** Plays one interleaving with the given code. @returns what a client of the tenant must never see, one line each. */
export type Scenario = (code: Protocol, secrets: LocalSecrets) => Promise<string[]>;

/** A scenario that begins with a tenant of this model. */
export function onStage(
  model: TestTenant['isolationModel'],
  script: (stage: Stage) => Promise<string[]>,
): Scenario {
  return async (code, secrets) => {
    const stage = await Stage.set(code, secrets, model);
    try {
      return await script(stage);
    } finally {
      await stage.end();
    }
  };
}

/** Where a step must fail with one of these errors, by name or SQLSTATE. @returns whether it did. */
export async function refused(step: Promise<unknown>, ...expected: readonly string[]): Promise<boolean> {
  try {
    await step;
    return false;
  } catch (error) {
    const { name, code } = error as { name?: string; code?: string };
    if (expected.includes(name ?? '') || expected.includes(code ?? '')) return true;
    throw error;
  }
}
