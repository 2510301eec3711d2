import type { Stack } from '@aws-sdk/client-cloudformation';
import { cloudFormationClient } from '../aws/clients.ts';
import { regionOfArn } from '../database/session/credentials.ts';

/** CloudFormation's record of a failed stack. */
export interface FailedCreation {
  /** True when the stack failed before it was first complete, so it never held data. */
  readonly neverComplete: boolean;
  /** ARNs of the secrets that it created and that still exist. */
  readonly secrets: readonly string[];
  /** Logical id of the resource that failed first, and the class of its failure; may be shown to a client. */
  readonly culprit: string | undefined;
  /** For the log only: it names resources. */
  readonly cause: string;
}

const GONE = /^(CREATE_FAILED|DELETE_COMPLETE)$/;

/** @throws CloudFormation's errors. */
export async function readFailedCreation(stack: Stack): Promise<FailedCreation> {
  const { paginateDescribeStackEvents, DescribeStackResourcesCommand } = await import(
    '@aws-sdk/client-cloudformation'
  );
  const StackName = stack.StackId ?? stack.StackName;
  const client = await cloudFormationClient(regionOfArn(stack.StackId ?? ''));
  const failures: { name: string; reason: string }[] = [];
  let isCreation = /^(CREATE_FAILED|ROLLBACK_)/.test(stack.StackStatus ?? '');
  // Newest first.
  for await (const { StackEvents } of paginateDescribeStackEvents({ client }, { StackName })) {
    for (const event of StackEvents ?? []) {
      const { ResourceStatus: status = '', LogicalResourceId: name = '', ResourceStatusReason } = event;
      if (event.PhysicalResourceId === stack.StackId) {
        if (status === 'ROLLBACK_IN_PROGRESS' || status === 'CREATE_FAILED') isCreation = true;
      } else if (status.endsWith('_FAILED')) failures.unshift({ name, reason: ResourceStatusReason ?? '' });
    }
  }
  const { StackResources } = await client.send(new DescribeStackResourcesCommand({ StackName }));
  const secrets = (StackResources ?? [])
    .filter(
      (one) => one.ResourceType === 'AWS::SecretsManager::Secret' && !GONE.test(one.ResourceStatus ?? ''),
    )
    .flatMap(({ PhysicalResourceId }) =>
      PhysicalResourceId?.startsWith('arn:') ? [PhysicalResourceId] : [],
    );
  // The first failure caused the others.
  const [first] = failures;
  const code = /HandlerErrorCode: (\w+)/.exec(first?.reason ?? '')?.[1];
  // CDK ends a logical id in eight hexadecimal digits.
  const name = first?.name.replace(/[0-9A-F]{8}$/, '');
  return {
    neverComplete: isCreation,
    secrets,
    culprit: name && (code ? `${name} (${code})` : name),
    cause: `${stack.StackStatusReason ?? ''} ${failures.map((one) => `${one.name}: ${one.reason}`).join('; ')}`,
  };
}
