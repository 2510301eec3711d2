import * as z from 'zod';
import { PlacementConflict as DatabasePlacementConflict, TenantSchemaInUse } from '../database/errors.ts';
import {
  DependencyUnavailable,
  LifecycleError,
  OnboardingStepFailed,
  PlacementConflict,
} from '../lifecycle/errors.ts';
import { NoCellCapacity } from '../placement/errors.ts';
import { ProvisioningError } from '../provisioning/errors.ts';
import { isTransient } from '../provisioning/transient-error.ts';
import type { DataApi } from '../registry/data-api.ts';
import { type TaskHandler, workflowTask } from './workflow-task.ts';

/** What every state after registration carries. */
export const tenantState = z.object({
  executionArn: z.string().min(1),
  tenant: z.object({
    tenantId: z.uuid(),
    slug: z.string(),
    tier: z.enum(['starter', 'business', 'enterprise']),
  }),
});

/** Makes a task of `tenant-onboarding` out of a step. */
export function onboardingTask<Schema extends z.ZodType, Result>(
  schema: Schema,
  step: (registry: DataApi, state: z.output<Schema>) => Promise<Result>,
): TaskHandler<Result> {
  return workflowTask(
    {
      toTypedError: toLifecycleError,
      subjectOf: (event) => ({ tenant: tenantOf(event) }),
      outcomeOf: (result) => (typeof result === 'string' ? { result } : {}),
    },
    schema,
    step,
  );
}

/** What `lifecycle/errors` names. */
type OnboardingError = LifecycleError | ProvisioningError | NoCellCapacity;

/** The typed error that an error of a driver or SDK amounts to. */
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
