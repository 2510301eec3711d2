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

/** Writes of the tenant that a restore has set aside: they are in what it replaced, and not in what it brought. */
export interface DiscardedWrites {
  /** Of all of them. */
  readonly writes: number;
  /** The latest, latest first. */
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
 * Keeps with a restore which writes it has discarded, told by the audit log in what it replaced. Of an undo: those since
 * the restore that it undoes. Of a restore from a backup: those since the backup's moment. Does nothing for a clone.
 * @throws errors of the registry and of PostgreSQL.
 */
export async function noteDiscardedWrites(registry: RegistryExecutor, restoreId: string): Promise<void> {
  const move = await findMove(registry, restoreId);
  const restore = move?.restore as unknown as (Restore & { discarded?: unknown }) | null | undefined;
  if (!restore || restore.mode === 'clone' || restore.discarded !== undefined) return;
  const hop = fillingHop(await hopsOf(registry, restoreId));
  const schemaName = hop && keptIn(hop);
  if (!hop || schemaName === undefined || !isSettled(hop)) return;
  const ways: Since[] =
    restore.mode === 'undo'
      ? await sinceRestore(registry, restore.undoes)
      : [{ after: await snapshotOf(registry, backupOfRestore(restore)) }];
  const discarded = await asOwnerOf(hop.source, async (owner) => {
    for (const since of ways) {
      const found = await discardedWrites(owner, schemaName, since);
      if (found) return found;
    }
    return undefined;
  });
  if (discarded) await noteRestore(registry, restoreId, { discarded });
}

/** Writes whose entries are not in another schema's log, or were made after a time. */
type Since = { readonly notIn: string } | { readonly after: string };

/** Exactly while that restore's schema is kept, and afterwards by the time of its swap. */
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

/** @returns undefined where a log is gone: a grace period has ended meanwhile. */
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
  // An operator who only looked has written nothing else, and neither has a request that was refused.
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
