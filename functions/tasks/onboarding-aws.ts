import { type SecretsEnvironment, variable } from '../contracts/environments.ts';
/** The phases of `tenant-onboarding` that work with AWS's APIs: secrets, stacks and proxies. They reach no database. */
import { launchDedicated, provisionCredentials, provisionProxy } from '../onboarding/make-place.ts';
import { stackProgress } from '../places/dedicated-stack.ts';
import { launchSettings } from '../places/launch-settings.ts';
import { onboardingPhase, onboardingTask, tenantState } from './onboarding-task.ts';

/** Creates the secret of the tenant's login role. */
const credentials = onboardingPhase(tenantState, (registry, { tenant }) =>
  provisionCredentials(registry, tenant.tenantId, {
    kmsKeyArn: variable<SecretsEnvironment>('SECRETS_KMS_KEY_ARN'),
  }),
);

/** Brings the stack of the dedicated database one step further; called until it says `ready`. */
const launch = onboardingPhase(
  tenantState.extend({ stack: stackProgress.optional() }),
  (registry, { tenant, stack }) => launchDedicated(registry, tenant.tenantId, launchSettings(), stack),
);

/** Makes the cell's proxy accept the tenant's secret. */
const proxy = onboardingPhase(tenantState, (registry, { tenant }) =>
  provisionProxy(registry, tenant.tenantId),
);

export const phases = { credentials, launch, proxy };
export const handler = onboardingTask(phases);
