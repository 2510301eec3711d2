import type { TenantRecord } from '../../database/registry/tenant-record.ts';
import { executionStatus, inAwsRegion, startExecution } from '../../move/workflow-executions.ts';

/**
 * Hands a registered tenant to the onboarding workflow of its region, unless an execution is at work on it already.
 * @param input what the workflow's first step validates and compares again.
 * @param awsRegion undefined: the function's own.
 */
export async function startOnboarding(
  tenant: TenantRecord,
  input: object,
  awsRegion: string | undefined,
): Promise<void> {
  if (tenant.executionArn && (await executionStatus(tenant.executionArn)) === 'running') return;
  const stateMachineArn = inAwsRegion(process.env.ONBOARDING_STATE_MACHINE_ARN as string, awsRegion);
  await startExecution(stateMachineArn, `${tenant.slug}-${Date.now().toString(36)}`, input);
}
