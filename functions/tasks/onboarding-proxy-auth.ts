import { onProvisioningTenant, placeOf } from '../lifecycle/provisioning-tenant.ts';
import { reconcileProxyAuth } from '../lifecycle/proxy-auth.ts';
import { onboardingTask, tenantState } from '../middleware/onboarding-task.ts';

/** Makes the cell's proxy accept the tenant's secret. */
export const handler = onboardingTask(tenantState, (registry, { tenant }) =>
  onProvisioningTenant(registry, tenant.tenantId, async (provisioning) => {
    const { cellId } = placeOf(provisioning);
    if (cellId) await reconcileProxyAuth(registry, cellId);
  }),
);
