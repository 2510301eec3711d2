/**
 * All phases of `tenant-export`. They read backups and write exports, and sign in to no data database. (A Starter
 * tenant's rows were read through the policies when the backup was made.)
 */
import * as z from 'zod';
import { type ReasonOptions, reasonOfFailure } from '../aws/caught-error.ts';
import { executionStatus, startExecution } from '../aws/executions.ts';
import { ObjectStore } from '../aws/object-store.ts';
import * as backupErrors from '../backups/errors.ts';
import { BackupError } from '../backups/errors.ts';
import { requestBackup } from '../backups/request-backup.ts';
import { type ExportDataEnvironment, variable } from '../contracts/environments.ts';
import { isTransient } from '../database/transient-error.ts';
import { beginExport } from '../exports/begin-export.ts';
import * as errors from '../exports/errors.ts';
import { ExportError, ExportStepFailed } from '../exports/errors.ts';
import { endExport, findExport, selectExports } from '../exports/export-records.ts';
import { findSource } from '../exports/export-source.ts';
import * as placeErrors from '../places/errors.ts';
import { DependencyUnavailable, ProvisioningError } from '../places/errors.ts';
import { phase, phasedTask, type TaskKind } from './workflow-task.ts';

const executionArn = z.string().min(1);
/** The fields of every state after `begin`. */
const begun = z.object({
  executionArn,
  export: z.object({ exportId: z.uuid(), tenantId: z.uuid() }),
});
/**
 * A call begins no part in this time before Lambda would stop it, so that the part that it has begun can be completed.
 */
const MARGIN_MS = 3 * 60_000;

const bucket = () => new ObjectStore(variable<ExportDataEnvironment>('BACKUP_BUCKET'));

/** Records the export, or continues the one that was recorded for this execution. */
const begin = phase(z.object({ executionArn, input: z.unknown() }), (state, { registry }) =>
  beginExport(registry, state.input, state.executionArn, { statusOf: executionStatus }),
);

/** Finds the backup to export, or requests one; the workflow calls it until the backup has succeeded. */
const source = phase(begun, ({ executionArn: arn, export: { exportId } }, { registry }) => {
  const stateMachineArn = variable<ExportDataEnvironment>('BACKUP_STATE_MACHINE_ARN');
  return findSource(registry, exportId, (tenantId) =>
    requestBackup(registry, tenantId, {
      actor: { id: arn, type: 'workflow' },
      stateMachineArn,
      start: (name, input) => startExecution(stateMachineArn, name, input),
      statusOf: executionStatus,
    }),
  );
});

/** Converts parts of the backup to text; the workflow calls it until all are written. */
const write = phase(begun, async ({ export: { exportId } }, { registry, lambda }) => {
  const { writeParts } = await import('../exports/write-parts.ts');
  const deadline = performance.now() + lambda.getRemainingTimeInMillis() - MARGIN_MS;
  return writeParts({ registry, store: bucket(), exportId }, deadline);
});

/** Packs the archive, and ends the export as succeeded. */
const finish = phase(begun, async ({ executionArn: arn, export: { exportId } }, { registry }) => {
  const { finishExport } = await import('../exports/finish-export.ts');
  await finishExport({ registry, store: bucket(), exportId }, { id: arn, type: 'workflow' });
  return { done: true };
});

const FAILURES: ReasonOptions = {
  what: 'export',
  vouched: { ...errors, ...backupErrors, ...placeErrors },
  fallback: new errors.ExportStepFailed().message,
};

/** Records why the execution failed, and gives the execution the same reason. */
const fail = phase(
  z.object({
    executionArn,
    failure: z.object({ Error: z.string(), Cause: z.string().optional() }),
  }),
  async ({ executionArn: arn, failure }, { registry }) => {
    const reason = reasonOfFailure(failure, FAILURES);
    // Found by its execution, because `begin` may have recorded the export without returning it.
    const [own] = await selectExports(registry, (all) => all.where('e.execution_arn', '=', arn));
    if (!own) return { reason, outcome: 'refused' };
    await registry.transaction((transaction) =>
      endExport(transaction, own, { status: 'failed', reason }, { id: arn, type: 'workflow' }),
    );
    // The export succeeded; only the answer of the last phase was lost.
    if (own.status === 'succeeded') return { reason, outcome: 'succeeded' };
    return { reason, outcome: 'failed', export: { exportId: own.exportId, tenantId: own.tenantId } };
  },
);

/** Deletes the objects of an export that has ended without success. */
const discard = phase(begun, async ({ export: { exportId } }, { registry }) => {
  const { discardExport } = await import('../exports/expire-exports.ts');
  const ended = await findExport(registry, exportId);
  if (ended && ended.status !== 'running' && ended.status !== 'succeeded')
    await discardExport(bucket(), ended.prefix);
  return { done: true };
});

const EXPORTS: TaskKind = {
  toTypedError: toExportError,
  subjectOf(state) {
    const { data } = begun.partial().safeParse(state);
    return data?.export ? { ...data.export } : { execution: data?.executionArn };
  },
  outcomeOf(result) {
    const { data } = z.object({ done: z.boolean() }).partial().safeParse(result);
    return { ...data };
  },
};

/** Maps an error of a driver or SDK to a typed error. */
export function toExportError(error: unknown): Error {
  if (error instanceof ExportError || error instanceof BackupError || error instanceof ProvisioningError)
    return error;
  if (isTransient(error)) return new DependencyUnavailable({ cause: error });
  return new ExportStepFailed({ cause: error });
}

export const phases = { begin, source, write, finish, fail, discard };
export const handler = phasedTask(EXPORTS, phases);
