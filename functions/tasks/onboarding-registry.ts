/** The phases of `tenant-onboarding` that need the registry only; and the recovery of onboardings that ended early. */
import * as z from 'zod';
import { startFunction } from '../aws/call-function.ts';
import { executionStatus, startExecution, stateMachineArnOf } from '../aws/executions.ts';
import { logger } from '../aws/logger.ts';
import { ALERTS, accountsFunctionName } from '../contracts/names.ts';
import { activateTenant } from '../onboarding/activate-tenant.ts';
import { InvalidOnboardingInput } from '../onboarding/errors.ts';
import { failTenant, findUnclaimed, reasonOf } from '../onboarding/fail-tenant.ts';
import { validateOnboardingInput } from '../onboarding/onboarding-input.ts';
import { recoverOnboardings } from '../onboarding/recover-onboardings.ts';
import { registerTenant } from '../onboarding/register-tenant.ts';
import { onboardingPhase, onboardingTask, tenantState } from './onboarding-task.ts';

/** Registers the tenant, or resumes an unfinished registration. */
const register = onboardingPhase(
  z.object({ executionArn: z.string().min(1), input: z.unknown() }),
  async (registry, { input, executionArn }, registries) => {
    const { tenantId, slug, tier } = await registerTenant(registry, validateOnboardingInput(input), {
      actor: { id: executionArn, type: 'workflow' },
      executionArn,
      region: { key: registries.ownKey, registries },
    });
    return { tenantId, slug, tier };
  },
);

/** Makes the tenant active; its record is the execution's output. */
const activate = onboardingPhase(tenantState, async (registry, { tenant, executionArn }, registries) => {
  const active = await activateTenant(registry, tenant.tenantId, { id: executionArn, type: 'workflow' });
  // Its first administrator is invited at once; if this fails, by the schedule.
  await startFunction(accountsFunctionName(registries.ownKey), {}).catch((error: Error) =>
    logger.warn('the task of accounts was not started', { error: error.name }),
  );
  return active;
});

/** State of an execution whose phase failed. */
const failedState = z.object({
  executionArn: z.string().min(1),
  input: z.unknown(),
  tenant: z.object({ tenantId: z.uuid() }).optional(),
  failure: z.object({ Error: z.string(), Cause: z.string().optional() }),
});

/** Records in the tenant why the execution failed, and fails the execution with the same reason. */
const fail = onboardingPhase(failedState, async (registry, { executionArn, input, tenant, failure }) => {
  const reason = reasonOf(failure);
  const tenantId = tenant?.tenantId ?? (await unclaimed());
  if (tenantId) {
    const actor = { id: executionArn, type: 'workflow' } as const;
    await failTenant(registry, tenantId, { reason, executionArn, actor });
  }
  return { reason };

  /** Registration itself failed. A tenant that caused its refusal belongs to another execution and stays as it is. */
  async function unclaimed(): Promise<string | undefined> {
    try {
      return await findUnclaimed(registry, validateOnboardingInput(input), executionArn);
    } catch (error) {
      if (error instanceof InvalidOnboardingInput) return undefined;
      throw error;
    }
  }
});

/** EventBridge's event of an ended execution; a schedule sends none. */
const ended = z.object({
  detail: z.object({ executionArn: z.string().min(1) }).optional(),
});

/** The function has 30 seconds. */
const RECOVERY_MS = 20_000;

/** Looks for tenants whose execution ended without recording a reason. */
const recover = onboardingPhase(ended, async (registry, { detail }) => {
  const recovered = await recoverOnboardings(registry, {
    executionArn: detail?.executionArn,
    statusOf: executionStatus,
    start: (executionArn, input) =>
      startExecution(stateMachineArnOf(executionArn), executionArn.split(':').at(-1) as string, input),
    deadline: performance.now() + RECOVERY_MS,
    // An alarm watches the log for this message.
    onLate: (tenant) => logger.error(ALERTS.provisioning, tenant),
  }).catch(logEach);
  // Normally there is nothing to recover, so a recovery is logged.
  for (const [what, tenants] of Object.entries(recovered))
    if (tenants.length > 0) logger.warn('recovered', { [what]: tenants });
  return recovered;
});

function logEach(error: unknown): never {
  if (error instanceof AggregateError) {
    for (const each of error.errors)
      logger.error('an onboarding was not recovered', { error: each as Error });
  }
  throw error;
}

export const phases = { register, activate, fail, recover };
export const handler = onboardingTask(phases, 'recover');
