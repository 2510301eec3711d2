/** The dedicated databases of a region as CloudFormation knows them: whatever a registry says of them. */
import type { Stack, StackStatus } from '@aws-sdk/client-cloudformation';
import * as z from 'zod';
import { cloudFormationClient } from '../aws/clients.ts';
import { DEDICATED_NAMES } from '../contracts/names.ts';
import { isUuid } from '../contracts/tenant.ts';
import { DedicatedStackFailed } from './errors.ts';
import { placeInStack } from './place-resources.ts';

/** Addresses and secrets of a dedicated database; as JSON in the state of a workflow. */
export const dedicatedDatabase = z.object({
  tenantId: z.uuid(),
  host: z.string(),
  port: z.int(),
  writerHost: z.string(),
  readerHost: z.string().nullable(),
  clusterArn: z.string(),
  database: z.string(),
  roleName: z.string(),
  secretArn: z.string(),
  ownerSecret: z.string(),
  stackName: z.string(),
});

export type DedicatedDatabase = z.output<typeof dedicatedDatabase>;

/**
 * The dedicated databases of this region in the order of their tenants' ids. Stacks that are not complete are left out.
 * @param after only those of later tenants.
 * @throws CloudFormation's errors.
 */
export async function listDedicatedDatabases({
  after,
  limit,
}: {
  readonly after: string | undefined;
  readonly limit: number;
}): Promise<{ readonly databases: readonly DedicatedDatabase[]; readonly isLast: boolean }> {
  const { DescribeStacksCommand, paginateListStacks } = await import('@aws-sdk/client-cloudformation');
  const client = await cloudFormationClient();
  const names = new Set<string>();
  // CloudFormation has no order by name, and takes no prefix.
  for await (const { StackSummaries = [] } of paginateListStacks(
    { client },
    { StackStatusFilter: COMPLETE },
  )) {
    for (const { StackName = '' } of StackSummaries) {
      const tenantId = tenantOf(StackName);
      if (tenantId !== undefined && (after === undefined || tenantId > after)) names.add(StackName);
    }
  }
  const next = [...names].sort().slice(0, limit);
  const databases: DedicatedDatabase[] = [];
  for (const StackName of next) {
    const { Stacks = [] } = await client.send(new DescribeStacksCommand({ StackName }));
    for (const stack of Stacks) {
      const database = databaseOf(stack);
      if (database) databases.push(database);
    }
  }
  return { databases, isLast: names.size <= limit };
}

/** Of stacks that have their outputs. */
const COMPLETE: StackStatus[] = ['CREATE_COMPLETE', 'UPDATE_COMPLETE', 'UPDATE_ROLLBACK_COMPLETE'];

function tenantOf(stackName: string): string | undefined {
  const tenantId = stackName.slice(DEDICATED_NAMES.length);
  return stackName.startsWith(DEDICATED_NAMES) && isUuid(tenantId) ? tenantId : undefined;
}

function databaseOf(stack: Stack): DedicatedDatabase | undefined {
  const tenantId = tenantOf(stack.StackName ?? '');
  try {
    return dedicatedDatabase.safeParse({ tenantId, ...placeInStack(stack) }).data;
  } catch (error) {
    // It is being made, or its creation has failed.
    if (error instanceof DedicatedStackFailed) return undefined;
    throw error;
  }
}
