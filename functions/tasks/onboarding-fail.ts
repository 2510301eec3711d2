import * as z from 'zod';
import { InvalidOnboardingInput } from '../lifecycle/errors.ts';
import { failTenant, findUnclaimed, reasonOf } from '../lifecycle/fail-tenant.ts';
import { validateOnboardingInput } from '../lifecycle/onboarding-input.ts';
import { onboardingTask } from '../middleware/onboarding-task.ts';

const state = z.object({
  executionArn: z.string().min(1),
  input: z.unknown(),
  tenant: z.object({ tenantId: z.uuid() }).optional(),
  failure: z.object({ Error: z.string(), Cause: z.string().optional() }),
});

/** Notes on the tenant why its onboarding ended, and tells the execution the same reason. */
export const handler = onboardingTask(state, async (registry, { executionArn, input, tenant, failure }) => {
  const reason = reasonOf(failure);
  const tenantId = tenant?.tenantId ?? (await unclaimed());
  if (tenantId) {
    await failTenant(registry, tenantId, {
      reason,
      executionArn,
      actor: { id: executionArn, type: 'workflow' },
    });
  }
  return { reason };

  /** Registration itself ended badly; what it refused belongs to somebody else and stays as it is. */
  async function unclaimed(): Promise<string | undefined> {
    try {
      return await findUnclaimed(registry, validateOnboardingInput(input));
    } catch (error) {
      if (error instanceof InvalidOnboardingInput) return undefined;
      throw error;
    }
  }
});
