/**
 * The phases of `tenant-backup` and `fleet-backup` that need only the registry and the list of the bucket's objects,
 * and the recovery of backups and exports whose executions ended early. They sign in to no data database.
 */
import * as z from 'zod';
import { type ReasonOptions, reasonOfFailure } from '../aws/caught-error.ts';
import { executionStatus } from '../aws/executions.ts';
import { logger } from '../aws/logger.ts';
import { ObjectStore } from '../aws/object-store.ts';
import { endBackup, selectBackups } from '../backups/backup-records.ts';
import { beginBackup } from '../backups/begin-backup.ts';
import { listDueTenants } from '../backups/due-tenants.ts';
import * as errors from '../backups/errors.ts';
import { expireBackups } from '../backups/expire-backups.ts';
import { addResults, fleetSums, NO_SUMS, outcomeOfFailure, pageResults } from '../backups/fleet-results.ts';
import { recoverBackups } from '../backups/recover-backups.ts';
import { type BackupEnvironment, variable } from '../contracts/environments.ts';
import { expireExports } from '../exports/expire-exports.ts';
import { recoverExports } from '../exports/recover-exports.ts';
import * as placeErrors from '../places/errors.ts';
import { backupTask } from './backup-task.ts';
import { phase } from './workflow-task.ts';

const executionArn = z.string().min(1);

/** Records the backup, or continues the one that was recorded for this execution. */
const begin = phase(z.object({ executionArn, input: z.unknown() }), (state, { registry }) =>
  beginBackup(registry, state.input, state.executionArn, { statusOf: executionStatus }),
);

const FAILURES: ReasonOptions = {
  what: 'backup',
  vouched: { ...errors, ...placeErrors },
  fallback: new errors.BackupStepFailed().message,
};

/** Records why the execution failed, and gives the execution the same reason. */
const fail = phase(
  z.object({
    executionArn,
    failure: z.object({ Error: z.string(), Cause: z.string().optional() }),
  }),
  async ({ executionArn: arn, failure }, { registry }) => {
    const reason = reasonOfFailure(failure, FAILURES);
    // Found by its execution, because `begin` may have recorded the backup without returning it.
    const [backup] = await selectBackups(registry, (all) => all.where('b.execution_arn', '=', arn));
    if (!backup) return { reason, outcome: 'refused' };
    await registry.transaction((transaction) =>
      endBackup(transaction, backup, { status: 'failed', reason }, { id: arn, type: 'workflow' }),
    );
    // The backup succeeded; only the answer of the last phase was lost.
    if (backup.status === 'succeeded') return { reason, outcome: 'succeeded' };
    return {
      reason,
      outcome: 'failed',
      backup: { backupId: backup.backupId, tenantId: backup.tenantId },
    };
  },
);

/** The event of EventBridge about an ended execution. The schedule's event has no `detail`. */
const ended = z.object({ detail: z.object({ executionArn }).optional() });

/** Ends the records of backups and exports whose executions are dead. */
const recover = phase(ended, async ({ detail }, { registry }) => {
  const probe = { statusOf: executionStatus, ...(detail ? { ended: detail } : {}) };
  const [backups, exports] = await Promise.allSettled([
    recoverBackups(registry, probe),
    recoverExports(registry, probe),
  ]);
  const recovered = [backups, exports].flatMap((result) =>
    result.status === 'fulfilled' ? result.value : [],
  );
  // Recovery is an exception, so it is logged as a warning.
  if (recovered.length > 0) logger.warn('recovered', { recovered });
  for (const result of [backups, exports]) if (result.status === 'rejected') logEach(result.reason);
  return { recovered };
});

function logEach(error: unknown): never {
  if (error instanceof AggregateError) {
    for (const each of error.errors)
      logger.error('a backup or an export was not recovered', { error: each as Error });
  }
  throw error;
}

const cursor = z.object({
  startedAt: z.string().min(1),
  pass: z.union([z.literal(1), z.literal(2)]),
  after: z.uuid().optional(),
});

/** Lists a page of the region's tenants whose backup is due. */
const due = phase(
  z.object({ page: z.object({ next: cursor.optional() }).optional() }),
  async ({ page }, { registry }) => {
    const { groups, next } = await listDueTenants(
      registry,
      variable<BackupEnvironment>('REGION_KEY'),
      page?.next,
    );
    return { groups, ...(next ? { next } : {}), hasNext: next !== undefined };
  },
);

/** Maps the failure of one tenant's execution to its outcome in the run. */
const outcome = phase(
  z.object({
    tenantId: z.uuid(),
    failure: z.object({ Error: z.string(), Cause: z.string().optional() }),
  }),
  async ({ tenantId, failure }) => {
    const { outcome: result, error } = outcomeOfFailure(failure.Cause ?? '');
    const details = { tenantId, error, execution: failure.Error };
    if (result === 'failed') logger.error('a tenant was not backed up', details);
    else logger.warn('a tenant was skipped', details);
    return { tenantId, outcome: result };
  },
);

/** Adds the results of a page to the sums of the run. */
const count = phase(
  z.object({ results: pageResults, sums: fleetSums.optional() }),
  async ({ results, sums }) => addResults(sums ?? NO_SUMS, results),
);

/** Reports the sums of a run, and whether it is complete. */
const report = phase(
  z.object({ sums: fleetSums, expiry: z.object({ done: z.boolean() }) }),
  async ({ sums, expiry }) => {
    logger.info('fleet backup', { ...sums, expired: expiry.done });
    const missing = `${sums.failed} tenants were not backed up, such as ${sums.failedTenants.join(', ')}.`;
    const cause = [
      ...(sums.failed > 0 ? [missing] : []),
      ...(expiry.done ? [] : ['Expired backups could not be deleted.']),
    ].join(' ');
    return { ...sums, complete: sums.failed === 0 && expiry.done, cause };
  },
);

/** Time of one call. It is short, so that the workflow detects a dead function soon. */
const EXPIRY_MS = 50_000;

/** Deletes expired exports and backups, and garbage; the workflow calls it until it is done. */
const expire = phase(
  z.object({ expiry: z.object({ cursor: z.string().optional() }).optional() }),
  async ({ expiry }, { registry }) => {
    const store = new ObjectStore(variable<BackupEnvironment>('BACKUP_BUCKET'));
    const limits = {
      region: variable<BackupEnvironment>('REGION_KEY'),
      now: new Date(),
      deadline: performance.now() + EXPIRY_MS,
    };
    // Exports are few, so each call begins with them; the cursor belongs to the backups.
    if (!(await expireExports(registry, store, limits))) return { done: false, ...expiry };
    return expireBackups(registry, store, { ...limits, cursor: expiry?.cursor });
  },
);

export const phases = { begin, fail, recover, due, outcome, count, report, expire };
export const handler = backupTask(phases, 'recover');
