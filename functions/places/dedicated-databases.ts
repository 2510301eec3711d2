/** The dedicated databases of a region as CloudFormation knows them: whatever a registry says of them. */
import type { Stack, StackStatus } from '@aws-sdk/client-cloudformation';
import * as z from 'zod';
import { cloudFormationClient } from '../aws/clients.ts';
import { DATABASE_SIZES, DEFAULT_DATABASE_SIZE } from '../contracts/database-size.ts';
import { readDedicatedStackName } from '../placement/tenant-names.ts';
import { DedicatedStackFailed } from './errors.ts';
import { placeInStack } from './place-resources.ts';

/** Addresses and secrets of a dedicated database; as JSON in the state of a workflow. */
export const dedicatedDatabase = z.object({
  tenantId: z.uuid(),
  /** In a state of an execution that began before there were sizes it is missing. */
  databaseSize: z.enum(DATABASE_SIZES).default(DEFAULT_DATABASE_SIZE),
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
 * During a change of size a tenant has two.
 * @param after only those of later tenants.
 * @param limit of tenants.
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
  const names = new Map<string, string[]>();
  // CloudFormation has no order by name, and takes no prefix.
  for await (const { StackSummaries = [] } of paginateListStacks(
    { client },
    { StackStatusFilter: COMPLETE },
  )) {
    for (const { StackName = '' } of StackSummaries) {
      const tenantId = readDedicatedStackName(StackName)?.tenantId;
      if (tenantId === undefined || (after !== undefined && tenantId <= after)) continue;
      names.set(tenantId, [...(names.get(tenantId) ?? []), StackName]);
    }
  }
  const next = [...names.keys()]
    .sort()
    .slice(0, limit)
    .flatMap((tenantId) => names.get(tenantId)?.sort() ?? []);
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

function databaseOf(stack: Stack): DedicatedDatabase | undefined {
  const named = readDedicatedStackName(stack.StackName ?? '');
  try {
    return dedicatedDatabase.safeParse({ ...named, ...placeInStack(stack) }).data;
  } catch (error) {
    // It is being made, or its creation has failed.
    if (error instanceof DedicatedStackFailed) return undefined;
    throw error;
  }
}
