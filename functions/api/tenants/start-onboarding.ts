import { executionArnOf, executionStatus, inAwsRegion, startExecution } from '../../aws/executions.ts';
import { type OperatorApiEnvironment, variable } from '../../contracts/environments.ts';
import type { OnboardingInput } from '../../onboarding/onboarding-input.ts';
import type { RegistrationRegion } from '../../onboarding/registration-region.ts';
import { requestOnboarding } from '../../onboarding/request-onboarding.ts';
import type { RepeatableRequest } from '../../registry/control-idempotency.ts';
import type { DataApi } from '../../registry/data-api.ts';
import type { TenantRecord } from '../../registry/tenant-record.ts';

/**
 * Registers the tenant and hands it to the onboarding workflow of its region, unless an execution works on it already.
 * The workflow gets the validated input: what the client sent may be longer than Step Functions takes.
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
  }: {
    operator: string;
    region: RegistrationRegion;
    /** undefined: the function's own. */
    awsRegion: string | undefined;
    once: RepeatableRequest | undefined;
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
    statusOf: executionStatus,
    executionArnOf: (name) => executionArnOf(stateMachineArn, name),
    start: (name, started) => startExecution(stateMachineArn, name, started),
  });
}
