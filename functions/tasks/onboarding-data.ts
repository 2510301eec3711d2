/** The phases of `tenant-onboarding` that sign in to databases, inside the network. */
import {
  bootstrapDedicated,
  provisionPlacement,
  provisionSchema,
  verifyTenant,
} from '../onboarding/make-place.ts';
import { onboardingPhase, onboardingTask, tenantState } from './onboarding-task.ts';

/** Prepares the tenant's dedicated database. */
const bootstrap = onboardingPhase(tenantState, (registry, { tenant }) =>
  bootstrapDedicated(registry, tenant.tenantId),
);

/** Creates the tenant's schema and login role. */
const schema = onboardingPhase(tenantState, (registry, { tenant }) =>
  provisionSchema(registry, tenant.tenantId),
);

/** Enters the tenant into its data database. */
const place = onboardingPhase(tenantState, (registry, { tenant }) =>
  provisionPlacement(registry, tenant.tenantId),
);

/** Goes through the proxy to the tenant's data, as a request will. */
const verify = onboardingPhase(tenantState, (registry, { tenant }) =>
  verifyTenant(registry, tenant.tenantId),
);

export const phases = { bootstrap, schema, place, verify };
export const handler = onboardingTask(phases);
