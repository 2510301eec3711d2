import * as z from 'zod';
import { InvalidOnboardingInput } from '../lifecycle/errors.ts';
import { failTenant, findUnclaimed, reasonOf } from '../lifecycle/fail-tenant.ts';
import { validateOnboardingInput } from '../lifecycle/onboarding-input.ts';
import { type RecoveredOnboardings, recoverOnboardings } from '../lifecycle/recover-onboardings.ts';
import { logger } from '../middleware/logger.ts';
import { onboardingTask } from '../middleware/onboarding-task.ts';
import { executionStatus, startExecution, stateMachineArnOf } from '../move/workflow-executions.ts';
import type { DataApi } from '../registry/data-api.ts';

/** The state of an execution whose step failed. */
const failedStep = z.object({
  executionArn: z.string().min(1),
  input: z.unknown(),
  tenant: z.object({ tenantId: z.uuid() }).optional(),
  failure: z.object({ Error: z.string(), Cause: z.string().optional() }),
});

/** EventBridge's event of an execution that ended; a schedule sends none. */
const recovery = z.object({
  detail: z.object({ executionArn: z.string().min(1) }).optional(),
});

/** The function has 30 seconds. */
const RECOVERY_MS = 20_000;

/**
 * Ends onboardings that did not succeed: notes on the tenant why an execution failed, and gives the execution the same
 * reason; and looks for tenants whose execution ended without doing so.
 */
export const handler = onboardingTask(
  z.union([failedStep, recovery]),
  (registry, state): Promise<{ reason: string } | RecoveredOnboardings> =>
    'failure' in state ? recordFailure(registry, state) : recover(registry, state.detail?.executionArn),
);

async function recordFailure(
  registry: DataApi,
  { executionArn, input, tenant, failure }: z.output<typeof failedStep>,
): Promise<{ reason: string }> {
  const reason = reasonOf(failure);
  const tenantId = tenant?.tenantId ?? (await unclaimed());
  if (tenantId) {
    const actor = { id: executionArn, type: 'workflow' } as const;
    await failTenant(registry, tenantId, { reason, executionArn, actor });
  }
  return { reason };

  /** Registration itself ended badly; what it refused belongs to somebody else and stays as it is. */
  async function unclaimed(): Promise<string | undefined> {
    try {
      return await findUnclaimed(registry, validateOnboardingInput(input), executionArn);
    } catch (error) {
      if (error instanceof InvalidOnboardingInput) return undefined;
      throw error;
    }
  }
}

async function recover(registry: DataApi, ended: string | undefined): Promise<RecoveredOnboardings> {
  const recovered = await recoverOnboardings(registry, {
    executionArn: ended,
    statusOf: executionStatus,
    start: (executionArn, input) =>
      startExecution(stateMachineArnOf(executionArn), executionArn.split(':').at(-1) as string, input),
    deadline: performance.now() + RECOVERY_MS,
    // An alarm watches the log for this message.
    onLate: (tenant) => logger.error('TenantProvisioningAlert', tenant),
  }).catch(logEach);
  // Nothing should be left to recover, so the log shows what was.
  for (const [what, tenants] of Object.entries(recovered))
    if (tenants.length > 0) logger.warn('recovered', { [what]: tenants });
  return recovered;
}

function logEach(error: unknown): never {
  if (error instanceof AggregateError) {
    for (const each of error.errors)
      logger.error('an onboarding was not recovered', { error: each as Error });
  }
  throw error;
}
