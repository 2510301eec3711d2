import { onProvisioningTenant, placeOf } from '../lifecycle/provisioning-tenant.ts';
import { onboardingTask, tenantState } from '../middleware/onboarding-task.ts';
import { reconcileProxyAuth } from '../provisioning/proxy-auth.ts';

/** Makes the cell's proxy accept the tenant's secret. */
export const handler = onboardingTask(tenantState, (registry, { tenant }) =>
  onProvisioningTenant(registry, tenant.tenantId, async (provisioning) => {
    const { cellId } = placeOf(provisioning);
    if (cellId) await reconcileProxyAuth(registry, cellId);
  }),
);
