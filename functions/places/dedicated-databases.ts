/** The dedicated databases of a region as CloudFormation knows them: whatever a registry says of them. */
import type { Stack } from '@aws-sdk/client-cloudformation';
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
  const { paginateDescribeStacks } = await import('@aws-sdk/client-cloudformation');
  const client = await cloudFormationClient();
  const databases: DedicatedDatabase[] = [];
  // CloudFormation has no order by name, and takes no prefix.
  for await (const { Stacks = [] } of paginateDescribeStacks({ client }, {})) {
    for (const stack of Stacks) {
      const database = databaseOf(stack);
      if (database && (after === undefined || database.tenantId > after)) databases.push(database);
    }
  }
  databases.sort((one, other) => (one.tenantId < other.tenantId ? -1 : 1));
  return { databases: databases.slice(0, limit), isLast: databases.length <= limit };
}

function databaseOf(stack: Stack): DedicatedDatabase | undefined {
  const { StackName = '' } = stack;
  const tenantId = StackName.slice(DEDICATED_NAMES.length);
  if (!StackName.startsWith(DEDICATED_NAMES) || !isUuid(tenantId)) return undefined;
  try {
    return dedicatedDatabase.safeParse({ tenantId, ...placeInStack(stack) }).data;
  } catch (error) {
    // It is being made, or its creation has failed.
    if (error instanceof DedicatedStackFailed) return undefined;
    throw error;
  }
}
