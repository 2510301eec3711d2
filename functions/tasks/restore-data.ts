/** The phases of `tenant-restore` that are no phases of a move. They read backups, and sign in as the owner of databases. */
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
  /** Records the restore, or takes up the one that was recorded for this execution. */
  begin: movePhase(
    z.object({ executionArn: z.string().min(1), input: z.unknown() }),
    async (registry, { input, executionArn }) => {
      const { beginRestore } = await import('../restores/begin-restore.ts');
      return beginRestore(registry, input, executionArn);
    },
  ),

  /** Closes the side cluster to everyone else, and records the backup that is made of it. */
  'side-backup': movePhase(
    begun.extend({ executionArn: z.string().min(1), side: z.object({ database: sideDatabase }) }),
    async (registry, { executionArn, move, side }) => {
      const { beginSideBackup } = await import('../restores/side-backup.ts');
      return beginSideBackup(registry, { restoreId: move.moveId, executionArn }, side.database);
    },
  ),

  /** Decides upon the hops; called until the tenant, which may be a new one, is there. */
  plan: movePhase(begun, async (registry, { move }) => {
    const { makePlan } = await import('../restores/begin-restore.ts');
    return makePlan(registry, move, backups());
  }),

  /** Fills the target of a hop; called until it is done. */
  fill: hopPhase('fill', async (context, _cursor, registry) => {
    const { fillTarget } = await import('../restores/fill-target.ts');
    return fillTarget(registry, context, backups());
  }),

  /** Keeps with the restore which writes it has set aside. */
  discards: movePhase(begun, async (registry, { move }) => {
    const { noteDiscardedWrites } = await import('../restores/discarded-writes.ts');
    await noteDiscardedWrites(registry, move.moveId);
    return { done: true };
  }),
};

const drilled = z.object({ tenantId: z.uuid(), backupId: z.uuid() });
/** A call works for so long: the workflow sees a dead function soon. */
const DRILL_MS = 50_000;

/** The phases of `restore-drills`. */
export const drillPhases = {
  /** Backups whose turn it is. */
  'due-drills': phase(z.object({}), async (_state, { registry }) => {
    const { listDueDrills } = await import('../restores/due-drills.ts');
    return { drills: await listDueDrills(registry, variable<BackupEnvironment>('REGION_KEY')) };
  }),

  /** Restores one backup into a scratch schema; called until it is done. */
  drill: phase(drilled, async (backup, { registry }) => {
    const { drillBackup } = await import('../restores/drill-backup.ts');
    return drillBackup(registry, backups(), backup, performance.now() + DRILL_MS);
  }),

  /** Records with the backup why it could not be restored. */
  'fail-drill': phase(
    drilled.extend({ failure: z.object({ Error: z.string(), Cause: z.string().optional() }) }),
    async ({ failure, ...backup }, { registry }) => {
      const { failDrill } = await import('../restores/drill-backup.ts');
      const { reasonOf } = await import('../moves/end-move.ts');
      const restoreErrors = await import('../restores/errors.ts');
      // It has expired, or the tenant has gone, since it was listed.
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

  /** What a run has come to. */
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
