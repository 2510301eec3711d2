import { type SecretsEnvironment, variable } from '../contracts/environments.ts';
/** The phases of `tenant-onboarding` that work with AWS's APIs: secrets, stacks and proxies. They reach no database. */
import { onProvisioningTenant, placeOf } from '../onboarding/provisioning-tenant.ts';
import { stackProgress } from '../places/dedicated-stack.ts';
import { launchSettings } from './launch-settings.ts';
import { onboardingPhase, onboardingTask, tenantState } from './onboarding-task.ts';

/** Creates the secret of the tenant's login role. */
const credentials = onboardingPhase(tenantState, async (registry, { tenant }) => {
  const { provisionCredentials } = await import('../onboarding/provision-credentials.ts');
  return provisionCredentials(registry, tenant.tenantId, {
    kmsKeyArn: variable<SecretsEnvironment>('SECRETS_KMS_KEY_ARN'),
  });
});

/** Brings the stack of the dedicated database one step further; called until it says `ready`. */
const launch = onboardingPhase(
  tenantState.extend({ stack: stackProgress.optional() }),
  async (registry, { tenant, stack }) => {
    const { launchDedicated } = await import('../onboarding/launch-dedicated.ts');
    return launchDedicated(registry, tenant.tenantId, launchSettings(), stack);
  },
);

/** Makes the cell's proxy accept the tenant's secret. */
const proxy = onboardingPhase(tenantState, async (registry, { tenant }) => {
  const { reconcileProxyAuth } = await import('../places/proxy-auth.ts');
  return onProvisioningTenant(registry, tenant.tenantId, async (provisioning) => {
    const { cellId } = placeOf(provisioning);
    if (cellId) await reconcileProxyAuth(registry, cellId);
  });
});

export const phases = { credentials, launch, proxy };
export const handler = onboardingTask(phases);
