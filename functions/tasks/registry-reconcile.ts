/** The phase of `registry-reconcile` that signs in to databases and reads backups. It writes to the registry only. */
import * as z from 'zod';
import { ObjectStore } from '../aws/object-store.ts';
import { secretArnOf } from '../aws/secrets.ts';
import { type BackupEnvironment, variable } from '../contracts/environments.ts';
import { isTransient } from '../database/transient-error.ts';
import { dedicatedDatabase } from '../places/dedicated-databases.ts';
import { DependencyUnavailable } from '../places/errors.ts';
import { found, NOTHING_FOUND } from '../reconciliation/differences.ts';
import {
  InvalidReconciliationInput,
  ReconciliationError,
  ReconciliationStepFailed,
} from '../reconciliation/errors.ts';
import { findInOtherRegions } from '../reconciliation/other-regions.ts';
import { connectAsOwner } from '../reconciliation/region-databases.ts';
import { phase, phasedTask } from './workflow-task.ts';

/** Time of one call. It is short, so that the workflow detects a dead function soon. */
const COMPARE_MS = 50_000;

const input = z.strictObject({
  apply: z.boolean().default(false),
  /** Tenants are registered from their backups that only the bucket has, or whose placement is lost. */
  registerLost: z.boolean().default(false),
});

const page = z.object({
  input: z.unknown(),
  page: z.object({ after: z.uuid().optional(), found: found.optional() }),
  dedicated: z.object({ databases: z.array(dedicatedDatabase), isLast: z.boolean() }),
});

export const phases = {
  /** Compares the next tenants and, with `apply`, mends them; the workflow calls it until it is done. */
  compare: phase(page, async ({ input: asked, page: last, dedicated }, { registry, registries }) => {
    const { data, error } = input.safeParse(asked);
    if (error) throw new InvalidReconciliationInput({ cause: error });
    const { reconcilePage } = await import('../reconciliation/reconcile-registry.ts');
    return reconcilePage(
      {
        registry,
        store: new ObjectStore(variable<BackupEnvironment>('BACKUP_BUCKET')),
        connect: connectAsOwner,
        findSecret: (name) => secretArnOf(name, undefined),
        region: variable<BackupEnvironment>('REGION_KEY'),
        findInOtherRegions: (tenantIds) => findInOtherRegions(registries, tenantIds),
      },
      {
        apply: data.apply,
        registerLost: data.registerLost,
        after: last.after,
        dedicated,
        found: last.found ?? NOTHING_FOUND,
        deadline: performance.now() + COMPARE_MS,
      },
    );
  }),
};

function toTypedError(error: unknown): Error {
  if (error instanceof ReconciliationError) return error;
  if (isTransient(error)) return new DependencyUnavailable({ cause: error });
  return new ReconciliationStepFailed({ cause: error });
}

export const handler = phasedTask(
  {
    toTypedError,
    subjectOf: () => ({}),
    outcomeOf: (result) => ({ done: (result as { done: boolean }).done }),
  },
  phases,
);
