import * as z from 'zod';
import { BackupError, BackupStepFailed } from '../backups/errors.ts';
import { isTransient } from '../database/transient-error.ts';
import { DependencyUnavailable, ProvisioningError } from '../places/errors.ts';
import { type Phase, phasedTask, type TaskHandler } from './workflow-task.ts';

/** What every state of `tenant-backup` carries once it has begun. */
export const backupState = z.object({
  executionArn: z.string().min(1),
  backup: z.object({ backupId: z.uuid(), tenantId: z.uuid() }),
});

/** @param ofEvent the phase that gets the events of schedules and of EventBridge */
export function backupTask(phases: Readonly<Record<string, Phase>>, ofEvent?: string): TaskHandler<unknown> {
  return phasedTask({ toTypedError: toBackupError, subjectOf, outcomeOf }, phases, ofEvent);
}

/** The typed error that an error of a driver or SDK amounts to. */
export function toBackupError(error: unknown): Error {
  if (error instanceof BackupError || error instanceof ProvisioningError) return error;
  if (isTransient(error)) return new DependencyUnavailable({ cause: error });
  return new BackupStepFailed({ cause: error });
}

function subjectOf(state: unknown): Record<string, unknown> {
  const { data } = backupState.partial().safeParse(state);
  return data?.backup ? { ...data.backup } : { execution: data?.executionArn };
}

/** Figures only: an answer may have a page of tenants. */
function outcomeOf(result: unknown): Record<string, unknown> {
  const { data } = z
    .object({ done: z.boolean(), backups: z.number(), objects: z.number() })
    .partial()
    .safeParse(result);
  return { ...data };
}
