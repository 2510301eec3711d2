import * as z from 'zod';
import { PlacementConflict as DatabasePlacementConflict, TenantSchemaInUse } from '../database/errors.ts';
import { isTransient } from '../database/transient-error.ts';
import {
  DependencyUnavailable,
  LifecycleError,
  OnboardingStepFailed,
  PlacementConflict,
} from '../onboarding/errors.ts';
import { NoCellCapacity } from '../placement/errors.ts';
import { ProvisioningError } from '../places/errors.ts';
import type { DataApi } from '../registry/data-api.ts';
import type { RegionalRegistries } from '../registry/regional-registries.ts';
import { type Phase, phase, phasedTask, type TaskHandler } from './workflow-task.ts';

/** State of the workflow after registration. */
export const tenantState = z.object({
  executionArn: z.string().min(1),
  tenant: z.object({
    tenantId: z.uuid(),
    slug: z.string(),
    tier: z.enum(['starter', 'business', 'enterprise']),
  }),
});

/** A phase of `tenant-onboarding`. */
export function onboardingPhase<Schema extends z.ZodType>(
  schema: Schema,
  run: (registry: DataApi, state: z.output<Schema>, registries: RegionalRegistries) => Promise<unknown>,
): Phase {
  return phase(schema, (state, { registry, registries }) => run(registry, state, registries));
}

/** @param ofEvent the phase that gets the events of schedules and of EventBridge */
export function onboardingTask(
  phases: Readonly<Record<string, Phase>>,
  ofEvent?: string,
): TaskHandler<unknown> {
  return phasedTask(
    {
      toTypedError: toLifecycleError,
      subjectOf: (state) => ({ tenant: tenantOf(state) }),
      outcomeOf: (result) => (typeof result === 'string' ? { result } : {}),
    },
    phases,
    ofEvent,
  );
}

/** The errors of `onboarding/errors`. */
type OnboardingError = LifecycleError | ProvisioningError | NoCellCapacity;

/** The typed error for an error of a driver or SDK. */
export function toLifecycleError(error: unknown): OnboardingError {
  if (error instanceof LifecycleError || error instanceof ProvisioningError) return error;
  if (error instanceof NoCellCapacity) return error;
  if (error instanceof DatabasePlacementConflict || error instanceof TenantSchemaInUse) {
    return new PlacementConflict({ cause: error });
  }
  if (isTransient(error)) return new DependencyUnavailable({ cause: error });
  return new OnboardingStepFailed({ cause: error });
}

function tenantOf(event: unknown): string | undefined {
  const parsed = tenantState.partial().safeParse(event);
  return parsed.success ? parsed.data.tenant?.tenantId : undefined;
}
