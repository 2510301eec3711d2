import { launchDedicated } from '../lifecycle/launch-dedicated.ts';
import { launchSettings } from '../middleware/launch-settings.ts';
import { onboardingTask, tenantState } from '../middleware/onboarding-task.ts';
import { stackProgress } from '../provisioning/dedicated-stack.ts';

const state = tenantState.extend({ stack: stackProgress.optional() });

/** Brings the stack of the dedicated database one step further; called until it says `ready`. */
export const handler = onboardingTask(state, (registry, { tenant, stack }) =>
  launchDedicated(registry, tenant.tenantId, launchSettings(), stack),
);
