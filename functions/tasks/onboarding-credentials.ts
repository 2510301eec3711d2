import { provisionCredentials } from '../lifecycle/provision-credentials.ts';
import { onboardingTask, tenantState } from '../middleware/onboarding-task.ts';

/** Creates the secret of the tenant's login role. */
export const handler = onboardingTask(tenantState, (registry, { tenant }) =>
  provisionCredentials(registry, tenant.tenantId, { kmsKeyArn: process.env.SECRETS_KMS_KEY_ARN }),
);
