/**
 * The phases of `restore-drills`, and those of `tenant-restore` that `tenant-move` does not have. They read backups,
 * and sign in as the owner of data databases.
 */
import * as z from 'zod';
import { logger } from '../aws/logger.ts';
import { ObjectStore } from '../aws/object-store.ts';
import { BackupError } from '../backups/errors.ts';
import { type BackupEnvironment, variable } from '../contracts/environments.ts';
import { MoveStepFailed } from '../moves/errors.ts';
import { RestoreError, RestoreStepFailed } from '../restores/errors.ts';
import { sideDatabase } from './backup-task.ts';
import { HOPS, hopPhase, movePhase, toMoveError } from './move-task.ts';
import { phase, phasedTask, type TaskKind } from './workflow-task.ts';

const begun = z.object({ move: z.object({ moveId: z.uuid(), tenantId: z.uuid() }) });

const backups = () => new ObjectStore(variable<BackupEnvironment>('BACKUP_BUCKET'));

export const phases = {
  /** Records the restore, or continues the one that was recorded for this execution. */
  begin: movePhase(
    z.object({ executionArn: z.string().min(1), input: z.unknown() }),
    async (registry, { input, executionArn }) => {
      const { beginRestore } = await import('../restores/begin-restore.ts');
      return beginRestore(registry, input, executionArn);
    },
  ),

  /** Secures the side cluster, and records the backup that reads it. */
  'side-backup': movePhase(
    begun.extend({ executionArn: z.string().min(1), side: z.object({ database: sideDatabase }) }),
    async (registry, { executionArn, move, side }) => {
      const { beginSideBackup } = await import('../restores/side-backup.ts');
      return beginSideBackup(registry, { restoreId: move.moveId, executionArn }, side.database);
    },
  ),

  /** Plans the hops; the workflow calls it until the new tenant of a clone is onboarded. */
  plan: movePhase(begun, async (registry, { move }) => {
    const { makePlan } = await import('../restores/begin-restore.ts');
    return makePlan(registry, move, backups());
  }),

  /** Fills the target of a hop; the workflow calls it until it is done. */
  fill: hopPhase('fill', async (context, _cursor, registry) => {
    const { fillTarget } = await import('../restores/fill-target.ts');
    return fillTarget(registry, context, backups());
  }),

  /** Records the writes that the restore discarded. */
  discards: movePhase(begun, async (registry, { move }) => {
    const { noteDiscardedWrites } = await import('../restores/discarded-writes.ts');
    await noteDiscardedWrites(registry, move.moveId);
    return { done: true };
  }),
};

const drilled = z.object({ tenantId: z.uuid(), backupId: z.uuid() });
/** Time of one call. It is short, so that the workflow detects a dead function soon. */
const DRILL_MS = 50_000;

/** The phases of `restore-drills`. */
export const drillPhases = {
  /** Lists the backups to drill. */
  'due-drills': phase(z.object({}), async (_state, { registry }) => {
    const { listDueDrills } = await import('../restores/due-drills.ts');
    return { drills: await listDueDrills(registry, variable<BackupEnvironment>('REGION_KEY')) };
  }),

  /** Restores one backup into a scratch schema; the workflow calls it until it is done. */
  drill: phase(drilled, async (backup, { registry }) => {
    const { drillBackup } = await import('../restores/drill-backup.ts');
    return drillBackup(registry, backups(), backup, performance.now() + DRILL_MS);
  }),

  /** Records the reason why a backup could not be restored. */
  'fail-drill': phase(
    drilled.extend({ failure: z.object({ Error: z.string(), Cause: z.string().optional() }) }),
    async ({ failure, ...backup }, { registry }) => {
      const { failDrill } = await import('../restores/drill-backup.ts');
      const { reasonOf } = await import('../moves/end-move.ts');
      const restoreErrors = await import('../restores/errors.ts');
      // Since the backup was listed, it has expired, or its tenant was offboarded or moved to another region.
      const gone: readonly string[] = [
        new restoreErrors.BackupUnknown().name,
        new restoreErrors.TenantNotRestorable('').name,
      ];
      if (gone.includes(failure.Error)) return { outcome: 'skipped' };
      const reason = reasonOf(failure, { ...(await import('../backups/errors.ts')), ...restoreErrors });
      logger.error('a backup cannot be restored', { ...backup, reason });
      await failDrill(registry, backup, reason);
      return { outcome: 'failed' };
    },
  ),

  /** Reports the results of a run. */
  'report-drills': phase(
    z.object({
      results: z.array(z.object({ tenantId: z.uuid(), outcome: z.enum(['passed', 'failed', 'skipped']) })),
    }),
    async ({ results }) => {
      const failed = results.filter(({ outcome }) => outcome === 'failed').map(({ tenantId }) => tenantId);
      const named = failed.slice(0, 10).join(', ');
      return {
        drilled: results.length,
        passed: failed.length === 0,
        cause: failed.length === 0 ? '' : `Backups of ${failed.length} tenants cannot be restored: ${named}.`,
      };
    },
  ),
};

const RESTORES: TaskKind = { ...HOPS, toTypedError: toRestoreError };

function toRestoreError(error: unknown): Error {
  if (error instanceof RestoreError || error instanceof BackupError) return error;
  const typed = toMoveError(error);
  return typed instanceof MoveStepFailed ? new RestoreStepFailed({ cause: typed.cause }) : typed;
}

export const handler = phasedTask(RESTORES, { ...phases, ...drillPhases });
