import type { Context } from 'aws-lambda';
import * as z from 'zod';
import { PlacementConflict as DatabasePlacementConflict, TenantSchemaInUse } from '../database/errors.ts';
import { type DataApi, registryFromEnvironment } from '../database/registry/data-api.ts';
import {
  DependencyUnavailable,
  LifecycleError,
  OnboardingStepFailed,
  PlacementConflict,
} from '../lifecycle/errors.ts';
import { NoCellCapacity } from '../placement/errors.ts';
import { ProvisioningError } from '../provisioning/errors.ts';
import { isTransient } from '../provisioning/transient-error.ts';
import { logger } from './logger.ts';

/** What every state after registration carries. */
export const tenantState = z.object({
  executionArn: z.string().min(1),
  tenant: z.object({
    tenantId: z.uuid(),
    slug: z.string(),
    tier: z.enum(['starter', 'business', 'enterprise']),
  }),
});

/** How a step of `tenant-onboarding` looks to Lambda. */
export type TaskHandler<Result> = (event: unknown, context: Context) => Promise<Result>;

let registry: DataApi | undefined;

/**
 * Makes a task out of a step: checks the workflow's state, hands over the registry, and lets only typed errors out,
 * whose names the workflow retries or catches. Causes are logged; the answer never holds them.
 */
export function onboardingTask<Schema extends z.ZodType, Result>(
  schema: Schema,
  step: (registry: DataApi, state: z.output<Schema>) => Promise<Result>,
): TaskHandler<Result> {
  return async (event, context) => {
    logger.addContext(context);
    try {
      registry ??= registryFromEnvironment();
      const result = await step(registry, schema.parse(event));
      logger.info('step done', {
        tenant: tenantOf(event),
        ...(typeof result === 'string' ? { result } : {}),
      });
      return result;
    } catch (error) {
      const typed = toLifecycleError(error);
      const details = { tenant: tenantOf(event), error: typed };
      // An error without a cause is one of our own refusals: it says all there is to say.
      if (typed.cause === undefined) logger.warn('step refused', details);
      else logger.error('step failed', details);
      throw typed;
    }
  };
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
