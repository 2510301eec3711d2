/** The phases of `tenant-backup` that read a tenant's rows and write objects. They run inside the network. */
import type { Context } from 'aws-lambda';
import * as z from 'zod';
import { type BackupContext, connectReader } from '../backups/backup-context.ts';
import { RegistryLedger } from '../backups/registry-ledger.ts';
import { type BackupDataEnvironment, variable } from '../contracts/environments.ts';
import type { DataApi } from '../registry/data-api.ts';
import { backupState, backupTask, sideDatabase } from './backup-task.ts';
import { type Phase, phase } from './workflow-task.ts';

const objectLock = z.enum(['', 'GOVERNANCE', 'COMPLIANCE']);

/** A worker returns this long before Lambda would stop it. */
const MARGIN_MS = 15_000;
/** A worker begins no part in this time before its end, and leaves its lane as soon as it may. */
const LEAVE_MS = 90_000;
/** Longest copy of each lane's worker. The lanes differ, so that their workers do not leave at the same time. */
const LONGEST_COPY_MS = [5 * 60_000, 9 * 60_000] as const;

/** The state of a restore to a point in time: the backup reads a copy of the tenant's cluster. */
const ofSide = z.object({
  move: z.object({ moveId: z.uuid() }),
  side: z.object({ database: sideDatabase }),
});

type Run<State> = (context: BackupContext, state: State, lambda: Context) => Promise<unknown>;

const anyState = backupState.extend({ move: z.unknown().optional(), side: z.unknown().optional() });

/** Wraps the work of a phase: opens the backup's ledger and bucket from the state. */
function dataPhase<Schema extends z.ZodType<z.output<typeof anyState>>>(
  schema: Schema,
  run: Run<z.output<Schema>>,
): Phase {
  return phase(schema, async (state, { registry, lambda }) => {
    const lock = objectLock.parse(process.env.BACKUP_OBJECT_LOCK);
    const { ObjectStore } = await import('../aws/object-store.ts');
    const ledger = new RegistryLedger(registry, state.backup.backupId);
    const record = lock === '' ? undefined : await ledger.read();
    const until = record && new Date(record.expiresAt);
    const store = new ObjectStore(
      variable<BackupDataEnvironment>('BACKUP_BUCKET'),
      lock !== '' && until ? { lock: { mode: lock, until } } : {},
    );
    return run({ ledger, store, ...(await sideOf(registry, state)) }, state, lambda);
  });
}

/**
 * The side cluster to read; empty for the backup of a tenant's place.
 * @throws {MoveAborted | MoveOvertaken} the restore was aborted or has ended.
 */
async function sideOf(
  registry: DataApi,
  state: z.output<typeof anyState>,
): Promise<Pick<BackupContext, 'connect' | 'rowsOf'>> {
  if (state.side === undefined) return {};
  const { move, side } = ofSide.parse(state);
  const { runningRestore } = await import('../restores/side-backup.ts');
  await runningRestore(registry, move.moveId, 'side-backup');
  return { connect: () => connectReader(side.database), rowsOf: side.database.rowsOf };
}

/** Plans the parts of the backup. */
const plan = dataPhase(anyState, async (context) => {
  const { planBackup } = await import('../backups/plan-backup.ts');
  await planBackup(context);
  return { done: true };
});

/** Runs one worker of one lane; the workflow calls it until it is done. */
const copy = dataPhase(anyState.extend({ lane: z.literal([0, 1]) }), async (context, { lane }, lambda) => {
  const { copyParts } = await import('../backups/copy-parts.ts');
  const end = performance.now() + lambda.getRemainingTimeInMillis() - MARGIN_MS;
  const leave = Math.min(end - LEAVE_MS, performance.now() + LONGEST_COPY_MS[lane]);
  return copyParts(context, lane, { leave, end });
});

/** Writes the manifest, and ends the backup as succeeded. */
const finish = dataPhase(anyState, async (context) => {
  const { finishBackup } = await import('../backups/finish-backup.ts');
  await finishBackup(context);
  return { done: true };
});

/** Deletes the objects of a backup that has ended without success. */
const discard = dataPhase(anyState, async ({ ledger, store }) => {
  const { discardBackup } = await import('../backups/discard-backup.ts');
  const record = await ledger.read();
  if (record && record.status !== 'running' && record.status !== 'succeeded')
    await discardBackup(store, record.prefix);
  return { done: true };
});

/** Of `audit-chain`, whose task this function is too: it signs in as the same owners, and writes the same bucket. */
const auditPhases = {
  'audit-list': phase(z.unknown(), async (_state, { registry }) => {
    const { listChains } = await import('./audit-chain-phases.ts');
    return listChains(registry);
  }),
  'audit-database': phase(z.unknown(), async (state, context) => {
    const { keepDatabaseChains } = await import('./audit-chain-phases.ts');
    const lock = objectLock.parse(process.env.BACKUP_OBJECT_LOCK);
    return keepDatabaseChains(state, context, lock === '' ? undefined : lock);
  }),
  'audit-report': phase(z.unknown(), async (state) => {
    const { reportChains } = await import('./audit-chain-phases.ts');
    return reportChains(state);
  }),
};

export const phases = { plan, copy, finish, discard };
export const handler = backupTask({ ...phases, ...auditPhases });
