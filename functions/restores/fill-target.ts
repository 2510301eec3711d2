/**
 * Phase `fill` of a restore's hop: fills the bare schema of the hop's target, beside the tenant's live data.
 *
 *   bare ──rows loaded──▶ compared with the source of the rows ──masked, if requested──▶ keys and indexes built
 *        ──sealed at the rows' version, migrated to the hop's version──▶ whole ──▶ capture is on
 *
 * Invariants
 * - the live data is not changed: if a restore fails here, only the new schema exists, and it is dropped;
 * - each completed step is recorded in the target itself (`restore_steps`), in the transaction of the step: so a part
 *   is loaded once, even if the phase is cut off and repeated, or runs twice at once;
 * - the migration history of the schema is written last, in the transaction that drops `restore_steps`: a schema with a
 *   history is whole.
 */
import type pg from 'pg';
import type { ObjectStore } from '../aws/object-store.ts';
import { joinedTransaction, lockForDdl, runStatements } from '../database/ddl/ddl-connection.ts';
import {
  historyTable,
  isolatedTarget,
  migrateTenantTables,
} from '../database/tables/migrate-tenant-tables.ts';
import { migrationsUpTo } from '../database/tables/tenant-migrations.ts';
import { claimedModestly, keepingAwake } from '../database/transfer/reshape/attempt-session.ts';
import { captureOn } from '../database/transfer/reshape/capture.ts';
import { buildPieces, sealSchema } from '../database/transfer/target-schema.ts';
import type { Filling, HopContext, PhaseOutcome } from '../moves/hop.ts';
import { inAttemptSession } from '../moves/reshape/reshape-session.ts';
import { tablesVersionOf } from '../places/place.ts';
import type { RegistryExecutor } from '../registry/data-api.ts';
import { fillFromBackup } from './fill-from-backup.ts';
import { fillFromSchema } from './fill-from-schema.ts';
import { createSteps, dropSteps, type Filled } from './load-backup.ts';

/** The requester waits for the builds, so each connection may use a second process. */
const POWER = { memory: '256MB', workers: 1 } as const;
/** A migration may rewrite a large table. */
const SEAL_SECONDS = 600;

/**
 * Runs the phase. Call it until it is done.
 * @param store the bucket of the backups.
 * @throws {BackupError} an object or the manifest is missing or damaged, or the restored rows differ: the restore
 *   fails.
 * @throws {UndoImpossible} the rows that the earlier restore replaced are not kept any more.
 * @throws {ClaimLost | AttemptBusy | MoveAborted} and errors of S3 and PostgreSQL.
 */
export function fillTarget(
  registry: RegistryExecutor,
  context: HopContext,
  store: ObjectStore,
): Promise<PhaseOutcome> {
  const { hop } = context;
  const { filling, attempt, target } = hop;
  if (!filling || context.kept.filledAt !== undefined) return Promise.resolve({ done: true });
  return inAttemptSession(context, undefined, async (owner) => {
    let filled: Filled | undefined;
    if (!(await isWhole(owner, target))) {
      await claimedModestly(owner, attempt, async () => {
        await owner.query(createSteps(target.schemaName));
      });
      filled = await (filling.from === 'backup'
        ? keepingAwake(owner, () => fillFromBackup(registry, context, { store, filling }))
        : fillFromSchema(owner, context, filling));
      if (!filled) return { done: false };
      const schema = { schemaName: target.schemaName, schemaVersion: filling.schemaVersion };
      const built = await buildPieces([owner], schema, POWER, async () => {
        await context.progress({});
        return performance.now() <= context.deadline;
      });
      if (!built) return { done: false };
      await seal(owner, context, filling);
    }
    await captureOn(owner, attempt);
    await context.keep({
      filledAt: new Date().toISOString(),
      ...(filled ? { restoredRows: filled.rows, restoredBytes: filled.bytes, restored: filled.tables } : {}),
    });
    return { done: true };
  });
}

/** Grants privileges, writes the history, and migrates the schema from the version of the rows to that of the hop. */
async function seal(owner: pg.Client, { hop }: HopContext, filling: Filling): Promise<void> {
  const { schemaName, roleName } = hop.target;
  const target = isolatedTarget(schemaName, roleName);
  const work = async () => {
    await sealSchema(
      owner,
      { schemaName, roleName, schemaVersion: filling.schemaVersion },
      joinedTransaction,
    );
    await joinedTransaction(owner, async (transaction) => {
      await lockForDdl(transaction, schemaName);
      await migrateTenantTables(transaction, target, migrationsUpTo(tablesVersionOf(hop.target)));
      await runStatements(transaction, [dropSteps(schemaName)]);
    });
  };
  await claimedModestly(owner, hop.attempt, work, { seconds: SEAL_SECONDS });
}

async function isWhole(owner: pg.Client, { schemaName }: { readonly schemaName: string }): Promise<boolean> {
  const { rows } = await owner.query<{ whole: boolean }>(
    'select pg_catalog.to_regclass($1) is not null as whole',
    [historyTable(isolatedTarget(schemaName, ''))],
  );
  return rows[0]?.whole === true;
}
