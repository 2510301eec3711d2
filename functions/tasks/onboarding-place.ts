import { provisionPlacement } from '../lifecycle/provision-placement.ts';
import { onboardingTask, tenantState } from '../middleware/onboarding-task.ts';

/** Enters the tenant into its data database. */
export const handler = onboardingTask(tenantState, (registry, { tenant }) =>
  provisionPlacement(registry, tenant.tenantId),
);
