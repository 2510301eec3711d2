/** The phases of moves and their clean-ups that work with AWS's APIs: secrets, stacks and proxies. They reach no database. */
import * as z from 'zod';
import { leavesRegion } from '../moves/hop.ts';
import { credentialSettingsOf, launchSettingsOf } from '../places/launch-settings.ts';
import { hopPhase, movePhase, moveTask } from './move-task.ts';

const hopOfMove = z.object({
  executionArn: z.string().min(1),
  move: z.object({ moveId: z.uuid(), hopIndex: z.int().nonnegative() }),
});

export const phases = {
  /** Launches the tenant's dedicated database, or adopts an earlier one; called until it is ready. */
  launch: hopPhase('launch', async (context, cursor, registry, regions) => {
    const { launchTarget } = await import('../moves/make-target.ts');
    const { region } = context.hop.target;
    const settings = await launchSettingsOf(regions, region);
    return launchTarget(registry, context, settings, cursor, regions.of(region));
  }),

  /** Creates the secret of the role that the tenant signs in with at the target. */
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

  /** Of a clean-up: deletes the dedicated database that the tenant has left, if nobody uses it; called until it is gone. */
  'delete-database': movePhase(hopOfMove, async (registry, { executionArn, move }, deadline) => {
    const { deleteLeftDatabase } = await import('../moves/delete-left-database.ts');
    return deleteLeftDatabase(registry, { ...move, executionArn }, deadline);
  }),
};

export const handler = moveTask(phases);
