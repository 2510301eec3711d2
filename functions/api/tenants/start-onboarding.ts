import { executionArnOf, executionStatus, inAwsRegion, startExecution } from '../../aws/executions.ts';
import { type OperatorApiEnvironment, variable } from '../../contracts/environments.ts';
import type { OnboardingInput } from '../../onboarding/onboarding-input.ts';
import type { RegistrationRegion } from '../../onboarding/registration-region.ts';
import { requestOnboarding } from '../../onboarding/request-onboarding.ts';
import type { RepeatableRequest } from '../../registry/control-idempotency.ts';
import type { DataApi } from '../../registry/data-api.ts';
import type { TenantRecord } from '../../registry/tenant-record.ts';

/**
 * Registers the tenant and starts the onboarding workflow of its region, unless an execution is already working on it.
 * The workflow gets the validated input, because the client's body may be larger than Step Functions takes.
 * @throws what `requestOnboarding` throws.
 */
export function startOnboarding(
  registry: DataApi,
  input: OnboardingInput,
  {
    operator,
    region,
    awsRegion,
    once,
    cloneOf,
  }: {
    operator: string;
    region: RegistrationRegion;
    /** AWS region of the workflow; undefined for the function's own. */
    awsRegion: string | undefined;
    once: RepeatableRequest | undefined;
    cloneOf?: string | undefined;
  },
): Promise<TenantRecord> {
  const stateMachineArn = inAwsRegion(
    variable<OperatorApiEnvironment>('ONBOARDING_STATE_MACHINE_ARN'),
    awsRegion,
  );
  return requestOnboarding(registry, input, {
    actor: { id: operator, type: 'operator' },
    region,
    once,
    cloneOf,
    statusOf: executionStatus,
    executionArnOf: (name) => executionArnOf(stateMachineArn, name),
    start: (name, started) => startExecution(stateMachineArn, name, started),
  });
}
