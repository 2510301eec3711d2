/** The phases of moves and their clean-ups that work with AWS's APIs: secrets, stacks and proxies. They reach no database. */
import * as z from 'zod';
import { type SecretsEnvironment, variable } from '../contracts/environments.ts';
import { crossesBorder } from '../moves/regions.ts';
import { launchSettings, regionOf } from './launch-settings.ts';
import { hopPhase, movePhase, moveTask } from './move-task.ts';

const hopOfMove = z.object({
  executionArn: z.string().min(1),
  move: z.object({ moveId: z.uuid(), hopIndex: z.int().nonnegative() }),
});

export const phases = {
  /** Creates the tenant's dedicated database, or finds it; called until it is ready. */
  launch: hopPhase('launch', async (context, cursor, registry, regions) => {
    const { launchTarget } = await import('../moves/target/launch-target.ts');
    const { hop } = context;
    const settings = crossesBorder(hop)
      ? (await regionOf(regions, hop.target.region)).launch()
      : launchSettings();
    return launchTarget(registry, context, settings, cursor, regions.of(hop.target.region));
  }),

  /** Creates the secret of the role that the tenant signs in with at the target. */
  credentials: hopPhase('credentials', async (context, _cursor, _registry, regions) => {
    const { provideCredentials } = await import('../moves/target/provide-credentials.ts');
    const { hop } = context;
    if (!crossesBorder(hop))
      return provideCredentials(context, { kmsKeyArn: variable<SecretsEnvironment>('SECRETS_KMS_KEY_ARN') });
    const { awsRegion, secretsKeyArn } = await regionOf(regions, hop.target.region);
    return provideCredentials(context, { kmsKeyArn: secretsKeyArn, awsRegion });
  }),

  /** Makes the target cell's proxy accept the tenant's new secret. */
  proxy: hopPhase('proxy', async (context, _cursor, registry, regions) => {
    const { registerWithProxy } = await import('../moves/target/register-with-proxy.ts');
    const { hop } = context;
    if (!crossesBorder(hop)) return registerWithProxy(registry, context);
    const { announceSecret } = await import('../moves/other-region/announce-arrival.ts');
    const there = regions.of(hop.target.region);
    await announceSecret(there, hop);
    return registerWithProxy(there, context);
  }),

  /** Of a clean-up: deletes the dedicated database that the tenant has left, if nobody uses it; called until it is gone. */
  'delete-database': movePhase(hopOfMove, async (registry, { executionArn, move }, deadline) => {
    const { deleteLeftDatabase } = await import('../moves/delete-left-database.ts');
    return deleteLeftDatabase(registry, { ...move, executionArn }, deadline);
  }),
};

export const handler = moveTask(phases);
