import * as z from 'zod';
import { BackupError, BackupStepFailed } from '../backups/errors.ts';
import { ALERTS } from '../contracts/names.ts';
import { isTransient } from '../database/transient-error.ts';
import { MoveError } from '../moves/errors.ts';
import { DependencyUnavailable, ProvisioningError } from '../places/errors.ts';
import { type Phase, phasedTask, type TaskHandler, type TaskKind } from './workflow-task.ts';

/** The fields of every state of `tenant-backup` after `begin`. */
export const backupState = z.object({
  executionArn: z.string().min(1),
  backup: z.object({ backupId: z.uuid(), tenantId: z.uuid() }),
});

/**
 * The side cluster that the backup of a restore to a point in time reads: `SideDatabase` in restores/side-backup.ts.
 */
export const sideDatabase = z.object({
  writerHost: z.string().min(1),
  port: z.int().positive(),
  database: z.string().min(1),
  ownerSecret: z.string().min(1),
  masterUsername: z.string().min(1),
  rowsOf: z.iso.datetime(),
});

/** @param ofEvent the phase that handles events of schedules and of EventBridge. */
export function backupTask(phases: Readonly<Record<string, Phase>>, ofEvent?: string): TaskHandler<unknown> {
  return phasedTask(BACKUPS, phases, ofEvent);
}

const BACKUPS: TaskKind = {
  toTypedError: toBackupError,
  subjectOf,
  outcomeOf,
  alertOf: (_error, name) => (name === 'recover' ? ALERTS.backupRecovery : undefined),
};

/** Maps an error of a driver or SDK to a typed error. */
export function toBackupError(error: unknown): Error {
  if (error instanceof BackupError || error instanceof ProvisioningError || error instanceof MoveError)
    return error;
  if (isTransient(error)) return new DependencyUnavailable({ cause: error });
  return new BackupStepFailed({ cause: error });
}

function subjectOf(state: unknown): Record<string, unknown> {
  const { data } = backupState.partial().safeParse(state);
  return data?.backup ? { ...data.backup } : { execution: data?.executionArn };
}

/** For the log: figures only, because a result may have a page of tenants. */
function outcomeOf(result: unknown): Record<string, unknown> {
  const { data } = z
    .object({ done: z.boolean(), backups: z.number(), objects: z.number() })
    .partial()
    .safeParse(result);
  return { ...data };
}
