/**
 * The registry's record of a restore, which is a move with `restore`: the row says what is restored, and the plan's first
 * hop is filled with it.
 *
 *   running (planned ─▶ begun ─▶ phases of its hops) ──▶ succeeded | failed | aborted
 *
 * Restores and moves of a tenant exclude each other (`one_running_move`), and end in the same way (functions/moves/end-move.ts).
 */
import { sql } from 'kysely';
import type { IsolationModel } from '../contracts/tenant.ts';
import type { Filling } from '../moves/hop.ts';
import type { HopRecord } from '../moves/move-records.ts';
import type { PlannedHop } from '../moves/plan.ts';
import type { Location } from '../places/place.ts';
import { type AuditActor, recordAudit } from '../registry/audit-log.ts';
import type { RegistryExecutor } from '../registry/data-api.ts';
import { RegistryError } from '../registry/errors.ts';
import type { TimeWithoutZone } from '../registry/registry-column.ts';
import { jsonValue, now } from '../registry/registry-expressions.ts';
import { registrySql } from '../registry/registry-sql.ts';
import { BackupUnknown, TenantNotRestorable } from './errors.ts';

/** What is restored, and how: `tenant_moves.restore`. */
export type Restore =
  /** Of the tenant itself: its rows are replaced. */
  | { readonly mode: 'replace'; readonly backupId: string }
  /** Of another tenant, into a new one. */
  | {
      readonly mode: 'clone';
      readonly backupId: string;
      /** Whose backup it is. */
      readonly cloneOf: string;
      /** Names, addresses and encrypted fields are blanked. */
      readonly mask: boolean;
    }
  /** Brings back what an earlier restore has replaced. */
  | { readonly mode: 'undo'; readonly undoes: string };

/** A backup, as far as a restore minds it. */
export interface RestorableBackup {
  readonly backupId: string;
  readonly tenantId: string;
  readonly region: string;
  readonly schemaVersion: number;
  readonly prefix: string;
  readonly manifestSha256: string;
}

/**
 * A backup of the tenant that can be restored.
 * @throws {BackupUnknown} it is another tenant's, has not succeeded, or has expired.
 */
export async function findRestorable(
  registry: RegistryExecutor,
  tenantId: string,
  backupId: string,
): Promise<RestorableBackup> {
  const row = await registrySql(registry)
    .selectFrom('tenant_backups as b')
    .select(['b.backup_id', 'b.tenant_id', 'b.region', 'b.schema_version', 'b.prefix', 'b.manifest_sha256'])
    .where('b.backup_id', '=', backupId)
    .where('b.tenant_id', '=', tenantId)
    .where('b.status', '=', 'succeeded')
    .where('b.expires_at', '>', sql<TimeWithoutZone>`now()`)
    .executeTakeFirst();
  if (!row || row.manifest_sha256 === null) throw new BackupUnknown();
  return {
    backupId: row.backup_id,
    tenantId: row.tenant_id,
    region: row.region,
    schemaVersion: row.schema_version,
    prefix: row.prefix,
    manifestSha256: row.manifest_sha256,
  };
}

/**
 * The hops of a restore. The new schema of an isolated tenant is made beside its present one. Shared tables cannot have two
 * states of one tenant, so a Starter tenant goes through a schema of its own: it is filled from the backup, then moved back
 * as any tenant is moved. A restore that ended between these hops has left the tenant in that schema: the next restore moves
 * it back to the shared tables.
 * @param home the isolation model of the tenant's tier.
 */
export function planRestore(at: Location, filling: Filling, home: IsolationModel): PlannedHop[] {
  if (at.isolationModel === 'dedicated' || (at.isolationModel === 'schema' && home !== 'shared')) {
    return [{ kind: 'reshape', from: at, to: at, filling }];
  }
  const between: Location = { ...at, isolationModel: 'schema' };
  return [
    { kind: 'reshape', from: at, to: between, filling },
    { kind: 'reshape', from: between, to: { ...at, isolationModel: 'shared' } },
  ];
}

/** The tenant's own hop of a restore that replaces something: the one that keeps it. */
export const fillingHop = (hops: readonly HopRecord[]): HopRecord | undefined =>
  hops.find(({ filling }) => filling !== undefined);

export interface NewRestore {
  readonly restoreId: string;
  readonly tenantId: string;
  readonly restore: Restore;
  readonly executionArn: string;
  readonly startedBy: string;
  /** `planned` until the execution has begun. */
  readonly phase: 'planned' | 'begun';
}

/**
 * Records a running restore, with its line in the audit log. Its plan is made when it begins.
 * @throws {TenantNotRestorable} the tenant has a running move or restore.
 */
export async function insertRestore(
  transaction: RegistryExecutor,
  { restoreId, tenantId, restore, executionArn, startedBy, phase }: NewRestore,
  actor: AuditActor,
): Promise<void> {
  try {
    await registrySql(transaction)
      .insertInto('tenant_moves')
      .values({
        move_id: restoreId,
        tenant_id: tenantId,
        phase,
        input: {},
        plan: [],
        restore,
        execution_arn: executionArn,
        started_by: startedBy,
      })
      .execute();
  } catch (error) {
    // Whoever comes second meets the index `one_running_move`.
    if (error instanceof RegistryError && error.sqlState === '23505') {
      throw new TenantNotRestorable('The tenant is being moved or restored already.');
    }
    throw error;
  }
  await recordAudit(transaction, {
    actor,
    action: 'restore.start',
    tenantId,
    resource: { type: 'restore', id: restoreId },
    data: { ...restore, startedBy },
  });
}

/** Gives a running restore its plan, unless it has one. */
export async function setPlan(
  transaction: RegistryExecutor,
  restoreId: string,
  plan: readonly PlannedHop[],
): Promise<void> {
  await registrySql(transaction)
    .updateTable('tenant_moves')
    .set({ plan: [...plan], updated_at: now })
    .where('move_id', '=', restoreId)
    .where('status', '=', 'running')
    .execute();
}

/** Adds facts to what is on record of a restore, such as what an undo discards. */
export async function noteRestore(
  registry: RegistryExecutor,
  restoreId: string,
  facts: Readonly<Record<string, unknown>>,
): Promise<void> {
  await registrySql(registry)
    .updateTable('tenant_moves')
    .set({ restore: sql`restore || ${jsonValue(facts)}`, updated_at: now })
    .where('move_id', '=', restoreId)
    .execute();
}
