import type { SFNClient } from '@aws-sdk/client-sfn';
import type { TenantRecord } from '../../database/registry/tenant-record.ts';

let client: Promise<SFNClient> | undefined;

/**
 * Hands a registered tenant to the onboarding workflow, unless an execution is at work on it already.
 * @param input what the workflow's first step validates and compares again.
 */
export async function startOnboarding(tenant: TenantRecord, input: object): Promise<void> {
  const { DescribeExecutionCommand, SFNClient, StartExecutionCommand } = await import('@aws-sdk/client-sfn');
  client ??= Promise.resolve(new SFNClient({}));
  const states = await client;
  if (tenant.executionArn) {
    const { status } = await states.send(new DescribeExecutionCommand({ executionArn: tenant.executionArn }));
    if (status === 'RUNNING') return;
  }
  await states.send(
    new StartExecutionCommand({
      stateMachineArn: process.env.ONBOARDING_STATE_MACHINE_ARN,
      name: `${tenant.slug}-${Date.now().toString(36)}`,
      input: JSON.stringify(input),
    }),
  );
}
