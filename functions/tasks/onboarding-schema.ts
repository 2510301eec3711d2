import { onboardingTask, tenantState } from '../middleware/onboarding-task.ts';
import { provisionSchema } from '../lifecycle/provision-schema.ts';

/** Creates the tenant's schema and login role. */
export const handler = onboardingTask(tenantState, (registry, { tenant }) =>
  provisionSchema(registry, tenant.tenantId),
);
