import * as z from 'zod';
import { ALERTS } from '../contracts/names.ts';
import { isTransient } from '../database/transient-error.ts';
import { ExportError } from '../exports/errors.ts';
import { OffboardingError, OffboardingStepFailed } from '../offboarding/errors.ts';
import { DependencyUnavailable, ProvisioningError } from '../places/errors.ts';
import { type Phase, phasedTask, type TaskHandler, type TaskKind } from './workflow-task.ts';

/** The fields of every state of `tenant-offboarding` after `begin`. */
export const offboardingState = z.object({
  executionArn: z.string().min(1),
  offboarding: z.object({ offboardingId: z.uuid(), tenantId: z.uuid() }),
});

const OFFBOARDINGS: TaskKind = {
  toTypedError: toOffboardingError,
  subjectOf(state) {
    const { data } = offboardingState.partial().safeParse(state);
    return data?.offboarding ? { ...data.offboarding } : { execution: data?.executionArn };
  },
  outcomeOf(result) {
    const { data } = z.object({ done: z.boolean() }).partial().safeParse(result);
    return { ...data };
  },
  // No workflow watches these.
  alertOf: (_error, name) =>
    name === 'recover' || name === 'subscriptions' ? ALERTS.offboardingRecovery : undefined,
};

/** @param ofEvent the phase that handles events of schedules and of EventBridge. */
export function offboardingTask(
  phases: Readonly<Record<string, Phase>>,
  ofEvent?: string,
): TaskHandler<unknown> {
  return phasedTask(OFFBOARDINGS, phases, ofEvent);
}

/** Maps an error of a driver or SDK to a typed error. */
export function toOffboardingError(error: unknown): Error {
  if (error instanceof OffboardingError || error instanceof ProvisioningError || error instanceof ExportError)
    return error;
  if (isTransient(error)) return new DependencyUnavailable({ cause: error });
  return new OffboardingStepFailed({ cause: error });
}
