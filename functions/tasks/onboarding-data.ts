/** The phases of `tenant-onboarding` that sign in to databases, inside the network. */
import { onboardingPhase, onboardingTask, tenantState } from './onboarding-task.ts';

/** Prepares the tenant's dedicated database. */
const bootstrap = onboardingPhase(tenantState, async (registry, { tenant }) => {
  const { bootstrapDedicated } = await import('../onboarding/bootstrap-dedicated.ts');
  return bootstrapDedicated(registry, tenant.tenantId);
});

/** Creates the tenant's schema and login role. */
const schema = onboardingPhase(tenantState, async (registry, { tenant }) => {
  const { provisionSchema } = await import('../onboarding/provision-schema.ts');
  return provisionSchema(registry, tenant.tenantId);
});

/** Enters the tenant into its data database. */
const place = onboardingPhase(tenantState, async (registry, { tenant }) => {
  const { provisionPlacement } = await import('../onboarding/provision-placement.ts');
  return provisionPlacement(registry, tenant.tenantId);
});

/** Goes through the proxy to the tenant's data, as a request will. */
const verify = onboardingPhase(tenantState, async (registry, { tenant }) => {
  const { verifyTenant } = await import('../onboarding/verify-tenant.ts');
  return verifyTenant(registry, tenant.tenantId);
});

export const phases = { bootstrap, schema, place, verify };
export const handler = onboardingTask(phases);
