import { activateTenant } from '../lifecycle/activate-tenant.ts';
import { onboardingTask, tenantState } from '../middleware/onboarding-task.ts';

/** Makes the tenant visible; its record is the execution's output. */
export const handler = onboardingTask(tenantState, (registry, { tenant, executionArn }) =>
  activateTenant(registry, tenant.tenantId, { id: executionArn, type: 'workflow' }),
);
