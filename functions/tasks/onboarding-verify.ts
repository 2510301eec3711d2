import { verifyTenant } from '../lifecycle/verify-tenant.ts';
import { onboardingTask, tenantState } from '../middleware/onboarding-task.ts';

/** Goes through the proxy to the tenant's data, as a request will. */
export const handler = onboardingTask(tenantState, (registry, { tenant }) =>
  verifyTenant(registry, tenant.tenantId),
);
