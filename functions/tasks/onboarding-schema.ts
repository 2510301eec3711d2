import { provisionSchema } from '../lifecycle/provision-schema.ts';
import { onboardingTask, tenantState } from '../middleware/onboarding-task.ts';

/** Creates the tenant's schema and login role. */
export const handler = onboardingTask(tenantState, (registry, { tenant }) =>
  provisionSchema(registry, tenant.tenantId),
);
