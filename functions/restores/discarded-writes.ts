import type pg from 'pg';
import { qualified } from '../database/ddl/identifier.ts';
import { sqlStateOf } from '../database/session/sql-state.ts';
import { auditLog } from '../database/tables/operations-tables.ts';
import { keptIn } from '../moves/hop.ts';
import { findMove, hopsOf, isSettled } from '../moves/move-records.ts';
import { asOwnerOf } from '../places/place-database.ts';
import type { RegistryExecutor } from '../registry/data-api.ts';
import { rfc3339 } from '../registry/registry-expressions.ts';
import { registrySql } from '../registry/registry-sql.ts';
import { VERIFICATION_ENTRY } from '../tenant-data/verification-result.ts';
import { backupOfRestore, fillingHop, noteRestore, type Restore } from './restore-records.ts';

/** Writes of the tenant that a restore discarded: the replaced rows have them, the restored rows do not. */
export interface DiscardedWrites {
  /** Number of discarded writes. */
  readonly writes: number;
  /** The latest of them, latest first. */
  readonly latest: readonly DiscardedWrite[];
}

export interface DiscardedWrite {
  readonly at: string;
  readonly actor: string | null;
  readonly action: string;
  readonly resourceType: string;
  readonly resourceId: string | null;
}

const LISTED = 50;

/**
 * Records the writes that a restore discarded, from the audit log in the replaced schema. A restore from a backup
 * discards the writes after the backup's snapshot; an undo discards the writes after the restore that it undoes. Does
 * nothing for a clone.
 * @throws errors of the registry and of PostgreSQL.
 */
export async function noteDiscardedWrites(registry: RegistryExecutor, restoreId: string): Promise<void> {
  const move = await findMove(registry, restoreId);
  const restore = move?.restore as unknown as (Restore & { discarded?: unknown }) | null | undefined;
  if (!restore || restore.mode === 'clone' || restore.discarded !== undefined) return;
  const hop = fillingHop(await hopsOf(registry, restoreId));
  const schemaName = hop && keptIn(hop);
  if (!hop || schemaName === undefined || !isSettled(hop)) return;
  const selections: Since[] =
    restore.mode === 'undo'
      ? await sinceRestore(registry, restore.undoes)
      : [{ after: await snapshotOf(registry, backupOfRestore(restore)) }];
  const discarded = await asOwnerOf(hop.source, async (owner) => {
    for (const since of selections) {
      const found = await discardedWrites(owner, schemaName, since);
      if (found) return found;
    }
    return undefined;
  });
  if (discarded) await noteRestore(registry, restoreId, { discarded });
}

/** Selects writes: those whose log entries are not in another schema's log, or those after a time. */
type Since = { readonly notIn: string } | { readonly after: string };

/**
 * Two ways to select the writes after a restore. The schema that the restore kept gives the exact writes; once that
 * schema is dropped, the time of the restore's commit selects them.
 */
async function sinceRestore(registry: RegistryExecutor, restoreId: string): Promise<Since[]> {
  const hop = fillingHop(await hopsOf(registry, restoreId));
  const schemaName = hop && keptIn(hop);
  const swappedAt = hop?.result.committedAt;
  return [
    ...(schemaName === undefined ? [] : [{ notIn: schemaName }]),
    ...(typeof swappedAt === 'string' ? [{ after: swappedAt }] : []),
  ];
}

async function snapshotOf(registry: RegistryExecutor, backupId: string): Promise<string> {
  const row = await registrySql(registry)
    .selectFrom('tenant_backups')
    .select((eb) => rfc3339(eb.ref('snapshot_at').$notNull()).as('snapshot_at'))
    .where('backup_id', '=', backupId)
    .executeTakeFirstOrThrow();
  return row.snapshot_at;
}

/** @returns undefined if a log does not exist any more: its schema was dropped at the end of the grace period. */
async function discardedWrites(
  owner: pg.Client,
  schemaName: string,
  since: Since,
): Promise<DiscardedWrites | undefined> {
  const log = qualified(schemaName, auditLog.name);
  const [condition, values] =
    'notIn' in since
      ? [`not exists (select from ${qualified(since.notIn, auditLog.name)} o where o.log_id = a.log_id)`, []]
      : ['a.created_at > $1::timestamptz', [since.after]];
  // Entries of actions that write nothing of the tenant: an operator's access, a refused request, a verification.
  const from = `from ${log} a where a.action not in ('operator.access', 'request.refused', '${VERIFICATION_ENTRY.action}')
    and ${condition}`;
  try {
    const counted = await owner.query<{ writes: string | number }>(
      `select count(*) as writes ${from}`,
      values,
    );
    const latest = await owner.query<DiscardedWrite>(
      `select pg_catalog.to_char(a.created_at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"') as at, a.actor,
              a.action, a.resource_type as "resourceType", a.resource_id as "resourceId"
       ${from} order by a.created_at desc, a.log_id limit ${LISTED}`,
      values,
    );
    return { writes: Number(counted.rows[0]?.writes), latest: latest.rows };
  } catch (error) {
    if (['42P01', '3F000'].includes(sqlStateOf(error) ?? '')) return undefined;
    throw error;
  }
}
