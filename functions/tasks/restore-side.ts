/**
 * The phases of `tenant-restore` that create and delete the side cluster of a restore to a point in time, and the sweep
 * that deletes side clusters of ended restores. They use AWS's APIs and sign in to no data database.
 */
import * as z from 'zod';
import { SideClusterFailed, SideClusterTaken, TimeNotRestorable } from '../aws/errors.ts';
import { logger } from '../aws/logger.ts';
import { type RestoreSideEnvironment, variable } from '../contracts/environments.ts';
import { ALERTS } from '../contracts/names.ts';
import { MoveStepFailed } from '../moves/errors.ts';
import { RestoreError, RestoreStepFailed } from '../restores/errors.ts';
import { HOPS, movePhase, toMoveError } from './move-task.ts';
import { phasedTask, type TaskKind } from './workflow-task.ts';

const executionArn = z.string().min(1);
const move = z.object({ moveId: z.uuid() });

export const phases = {
  /** Creates the side cluster; the workflow calls it until the cluster is ready. */
  'side-cluster': movePhase(
    z.object({ move, side: z.object({ passwordSet: z.boolean().optional() }).optional() }),
    async (registry, state) => {
      const { driveSide } = await import('../restores/side-backup.ts');
      const settings = {
        subnetGroup: variable<RestoreSideEnvironment>('SIDE_SUBNET_GROUP'),
        securityGroupId: variable<RestoreSideEnvironment>('SIDE_SECURITY_GROUP'),
        parameterGroup: variable<RestoreSideEnvironment>('SIDE_PARAMETER_GROUP'),
      };
      return driveSide(registry, state.move.moveId, settings, state.side);
    },
  ),

  /** Deletes the side cluster; the workflow calls it until RDS is deleting the cluster. */
  'drop-side-cluster': movePhase(z.object({ executionArn, move }), async (registry, state) => {
    const { dropSide } = await import('../restores/side-backup.ts');
    return dropSide(registry, { restoreId: state.move.moveId, executionArn: state.executionArn });
  }),

  /** Deletes side clusters whose restore has ended. */
  sweep: movePhase(z.unknown(), async (registry) => {
    const { sweepSideClusters } = await import('../restores/side-backup.ts');
    const swept = await sweepSideClusters(registry).catch(logEach);
    if (swept.length > 0) logger.warn('swept', { sideClusters: swept });
    return { swept };
  }),
};

function logEach(error: unknown): never {
  if (error instanceof AggregateError) {
    for (const each of error.errors) logger.error('a side cluster was not deleted', { error: each as Error });
  }
  throw error;
}

const KIND: TaskKind = {
  ...HOPS,
  toTypedError,
  alertOf: (error, name) =>
    name === 'sweep' || error instanceof SideClusterTaken ? ALERTS.sideCluster : undefined,
};

function toTypedError(error: unknown): Error {
  if (
    error instanceof RestoreError ||
    error instanceof TimeNotRestorable ||
    error instanceof SideClusterFailed ||
    error instanceof SideClusterTaken
  ) {
    return error;
  }
  const typed = toMoveError(error);
  return typed instanceof MoveStepFailed ? new RestoreStepFailed({ cause: typed.cause }) : typed;
}

export const handler = phasedTask(KIND, phases, 'sweep');
