import { bootstrapDedicated } from '../lifecycle/bootstrap-dedicated.ts';
import { onboardingTask, tenantState } from '../middleware/onboarding-task.ts';

/** Prepares the tenant's dedicated database. */
export const handler = onboardingTask(tenantState, (registry, { tenant }) =>
  bootstrapDedicated(registry, tenant.tenantId),
);
