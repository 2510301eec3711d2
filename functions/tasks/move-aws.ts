/**
 * The phases of moves and of their clean-ups that use AWS's APIs: secrets, stacks and proxies; and the one phase of
 * `registry-reconcile` that does. They reach no database.
 */
import * as z from 'zod';
import { leavesRegion } from '../moves/hop.ts';
import { credentialSettingsOf, launchSettingsOf } from '../places/launch-settings.ts';
import { hopPhase, movePhase, moveTask } from './move-task.ts';

const hopOfMove = z.object({
  executionArn: z.string().min(1),
  move: z.object({ moveId: z.uuid(), hopIndex: z.int().nonnegative() }),
});

/** One is 900 bytes at most, and a state of Step Functions takes 256 KiB. */
const DATABASES_AT_ONCE = 50;

export const phases = {
  /** Launches the tenant's dedicated database, or adopts an earlier one. The workflow calls it until it is ready. */
  launch: hopPhase('launch', async (context, cursor, registry, regions) => {
    const { launchTarget } = await import('../moves/make-target.ts');
    const { region } = context.hop.target;
    const settings = await launchSettingsOf(regions, region);
    return launchTarget(registry, context, settings, cursor, regions.of(region));
  }),

  /** Creates the secret of the tenant's login role at the target. */
  credentials: hopPhase('credentials', async (context, _cursor, _registry, regions) => {
    const { createTargetCredentials } = await import('../moves/make-target.ts');
    return createTargetCredentials(context, await credentialSettingsOf(regions, context.hop.target.region));
  }),

  /** Makes the target cell's proxy accept the tenant's new secret. */
  proxy: hopPhase('proxy', async (context, _cursor, registry, regions) => {
    const { registerTarget } = await import('../moves/make-target.ts');
    const { hop } = context;
    if (!leavesRegion(hop)) return registerTarget(registry, context);
    const { announceSecret } = await import('../moves/other-region/announce-tenant.ts');
    const there = regions.of(hop.target.region);
    await announceSecret(there, hop);
    return registerTarget(there, context);
  }),

  /**
   * Clean-up: deletes the dedicated database at the hop's source if nothing uses it. The workflow calls it until it is
   * gone.
   */
  'delete-database': movePhase(hopOfMove, async (registry, { executionArn, move }, deadline) => {
    const { deleteLeftDatabase } = await import('../moves/delete-left-database.ts');
    return deleteLeftDatabase(registry, { ...move, executionArn }, deadline);
  }),

  /** `registry-reconcile`: the next dedicated databases of the region, whatever the registry has. */
  'list-dedicated': movePhase(
    z.object({ page: z.object({ after: z.uuid().optional() }) }),
    async (_registry, { page }) => {
      const { listDedicatedDatabases } = await import('../places/dedicated-databases.ts');
      return listDedicatedDatabases({ after: page.after, limit: DATABASES_AT_ONCE });
    },
  ),
};

export const handler = moveTask(phases);
