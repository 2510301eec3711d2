import * as z from 'zod';
import { type CredentialRotation, enterPhase } from '../credentials/credential-records.ts';
import { CredentialError, CredentialStepFailed } from '../credentials/errors.ts';
import { isTransient } from '../database/transient-error.ts';
import { DependencyUnavailable, ProvisioningError } from '../places/errors.ts';
import type { DataApi } from '../registry/data-api.ts';
import { type Phase, phase, phasedTask, type TaskHandler } from './workflow-task.ts';

/** State of `credential-rotation` after its first phase. */
const rotationState = z.object({
  executionArn: z.string().min(1),
  rotation: z.object({ rotationId: z.uuid() }),
});

/** A phase of a rotation: it is recorded, and refused when another execution has taken the rotation over. */
export function rotationPhase(
  name: string,
  run: (registry: DataApi, rotation: CredentialRotation) => Promise<unknown>,
): Phase {
  return phase(rotationState, async ({ executionArn, rotation }, { registry }) =>
    run(registry, await enterPhase(registry, rotation.rotationId, executionArn, name)),
  );
}

/** @param ofEvent the phase that gets the events of schedules. */
export function credentialTask(
  phases: Readonly<Record<string, Phase>>,
  ofEvent?: string,
): TaskHandler<unknown> {
  return phasedTask(
    {
      toTypedError,
      subjectOf: (state) => ({
        rotation: rotationState.partial().safeParse(state).data?.rotation?.rotationId,
      }),
      outcomeOf: () => ({}),
    },
    phases,
    ofEvent,
  );
}

function toTypedError(error: unknown): Error {
  if (error instanceof CredentialError || error instanceof ProvisioningError) return error;
  if (isTransient(error)) return new DependencyUnavailable({ cause: error });
  return new CredentialStepFailed({ cause: error });
}
