import { setTimeout as delay } from 'node:timers/promises';
import { tenantTablesAt } from '../../database/tables/tenant-tables.ts';
import { claimedAtTarget } from '../../database/transfer/claim.ts';
import { endWorkers, resume, suspend } from '../../database/transfer/replication/subscription.ts';
import {
  buildPieces,
  gatherStatistics,
  missingPieces,
  sealSchema,
} from '../../database/transfer/target-schema.ts';
import { asOwnersOf } from '../../places/place-database.ts';
import { type HopContext, type PhaseOutcome, replicationName, tablesAtTarget } from '../hop.ts';
import { BUILD_POWER } from './replication.ts';

/**
 * Builds keys, indexes and triggers at the target while the subscription is suspended: adding a foreign key and applying
 * changes would lock the same tables in different orders. Changes wait in the slot meanwhile.
 *
 * The catalogue shows what is missing, so a repeated run continues where the last one ended. A run that reaches its deadline leaves
 * a build that is under way to PostgreSQL. The run that finds nothing missing resumes the subscription. Statistics are rough
 * here: `compare` gathers full ones, behind the commit.
 */
export async function indexRelocate(context: HopContext): Promise<PhaseOutcome> {
  const { hop, deadline } = context;
  const name = replicationName(hop);
  const schema = tablesAtTarget(hop);
  return asOwnersOf([hop.source, hop.target, hop.target], async ([source, target, second]) => {
    const sides = { source: source!, target: target! };
    const connections = [sides.target, second!];
    await context.progress({});
    if ((await missingPieces(sides.target, schema)).length > 0) {
      await claimedAtTarget(sides, hop.attempt, () => suspend(sides.target, name));
      await endWorkers(sides.target, name);
      const building = buildPieces(connections, schema, BUILD_POWER, async () => {
        // An abort is noticed between two pieces.
        await context.progress({});
        return true;
      });
      if (!(await endsBefore(deadline, building))) return { done: false };
    }
    const gathering = gatherStatistics(
      connections,
      schema.schemaName,
      tenantTablesAt(schema.schemaVersion),
      'rough',
    );
    if (!(await endsBefore(deadline, gathering))) return { done: false };
    await sealSchema(sides.target, { ...schema, roleName: hop.target.roleName });
    await claimedAtTarget(sides, hop.attempt, () => resume(sides.target, name));
    return { done: true };
  });
}

/** Whether it ended in time. What is still under way afterwards fails with its connection, and the error is ignored. */
async function endsBefore(deadline: number, work: Promise<unknown>): Promise<boolean> {
  const timer = new AbortController();
  const late = delay(Math.max(0, deadline - performance.now()), false, { signal: timer.signal });
  late.catch(() => {});
  work.catch(() => {});
  try {
    return await Promise.race([work.then(() => true), late]);
  } finally {
    timer.abort();
  }
}
