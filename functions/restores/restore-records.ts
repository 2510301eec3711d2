/**
 * The registry's record of a restore. A restore is a move whose row has `restore`: that column says what is restored,
 * and the plan's first hop is filled with it.
 *
 *   running (planned ─▶ begun ─▶ phases of its hops) ──▶ succeeded | failed | aborted
 *
 * A tenant has at most one running move or restore (index `one_running_move`). Restores end as moves do
 * (functions/moves/end-move.ts).
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

/** The source and the mode of a restore: `tenant_moves.restore`. */
export type Restore =
  /** Replaces the tenant's rows by earlier rows of the same tenant. */
  | (RestoredState & { readonly mode: 'replace' })
  /** Copies the rows of another tenant into a new tenant. */
  | (RestoredState & {
      readonly mode: 'clone';
      /** The tenant whose rows are copied. */
      readonly cloneOf: string;
      /** Names, e-mail addresses and encrypted fields are blanked. */
      readonly mask: boolean;
    })
  /** Brings back the rows that an earlier restore replaced. */
  | { readonly mode: 'undo'; readonly undoes: string };

/** The rows of a backup, or the rows of a past time. For a time, the restore makes a backup first (side-backup.ts). */
export interface RestoredState {
  /** Absent until the backup of `at` is begun. */
  readonly backupId?: string;
  /** RFC 3339, UTC. */
  readonly at?: string;
  /** With `at`: the cluster to copy. */
  readonly source?: SideSource;
}

export interface SideSource {
  readonly clusterArn: string;
  /** Name or ARN of the secret of the database's owner. */
  readonly ownerSecret: string;
}

/** @throws {BackupUnknown} the backup of `at` is not begun yet. */
export function backupOfRestore({ backupId }: RestoredState): string {
  if (backupId === undefined) throw new BackupUnknown();
  return backupId;
}

/** The columns of a backup that a restore uses. */
export interface RestorableBackup {
  readonly backupId: string;
  readonly tenantId: string;
  readonly region: string;
  readonly schemaVersion: number;
  readonly prefix: string;
  readonly manifestSha256: string;
}

/**
 * Reads a backup of the tenant that can be restored.
 * @throws {BackupUnknown} the backup belongs to another tenant, has not succeeded, or has expired.
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
 * Plans the hops of a restore. The restored schema of an isolated tenant is created beside its current schema. Shared
 * tables cannot hold two states of one tenant, so the restore of a Starter tenant has two hops: the first one moves the
 * tenant to a schema of its own, which is filled from the backup; the second one moves it back to the shared tables, as
 * a move does. If a restore ended between these hops, the tenant is still in that schema; the next restore moves it
 * back.
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

/** The hop of a restore whose target is filled; it keeps the replaced rows. */
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
 * Inserts a running restore and its entry in the audit log. The execution plans the hops later.
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
        restore: { ...restore },
        execution_arn: executionArn,
        started_by: startedBy,
      })
      .execute();
  } catch (error) {
    // The second of two concurrent inserts violates the index `one_running_move`.
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

/** Sets the plan of a running restore. */
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

/** Adds facts to the record of a restore, such as the discarded writes. */
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
