import * as z from 'zod';
import { validateOnboardingInput } from '../lifecycle/onboarding-input.ts';
import { registerTenant } from '../lifecycle/register-tenant.ts';
import { onboardingTask } from '../middleware/onboarding-task.ts';
import { RegionalRegistries } from '../registry/regional-registries.ts';

const state = z.object({ executionArn: z.string().min(1), input: z.unknown() });

let registries: RegionalRegistries | undefined;

/** Registers the tenant, or takes an unfinished registration up again. */
export const handler = onboardingTask(state, async (registry, { input, executionArn }) => {
  registries ??= RegionalRegistries.fromEnvironment();
  const { tenantId, slug, tier } = await registerTenant(registry, validateOnboardingInput(input), {
    actor: { id: executionArn, type: 'workflow' },
    executionArn,
    region: { key: registries.ownKey, registries },
  });
  return { tenantId, slug, tier };
});
