import * as z from 'zod';
import { launchDedicated } from '../lifecycle/launch-dedicated.ts';
import { onboardingTask, tenantState } from '../middleware/onboarding-task.ts';

const state = tenantState.extend({
  stack: z
    .object({
      ready: z.boolean(),
      phase: z.enum(['creating', 'clearing', 'ready']),
      stackId: z.string().nullable(),
      since: z.string(),
    })
    .optional(),
});

const settings = z
  .object({
    DEDICATED_TEMPLATE_URL: z.string().min(1),
    DEDICATED_PARAMETERS: z
      .string()
      .transform((json) => JSON.parse(json) as unknown)
      .pipe(z.record(z.string(), z.coerce.string())),
    CLOUDFORMATION_ROLE_ARN: z.string().min(1),
  })
  .transform((environment) => ({
    templateUrl: environment.DEDICATED_TEMPLATE_URL,
    parameters: environment.DEDICATED_PARAMETERS,
    roleArn: environment.CLOUDFORMATION_ROLE_ARN,
  }));

/** Brings the stack of the dedicated database one step further; called until it says `ready`. */
export const handler = onboardingTask(state, (registry, { tenant, stack }) =>
  launchDedicated(registry, tenant.tenantId, settings.parse(process.env), stack),
);
