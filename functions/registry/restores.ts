import { type InferResult, sql } from 'kysely';
import { ResourceNotFound } from '../resources/errors.ts';
import type { PageRequest } from '../resources/keyset-page.ts';
import type { RegistryExecutor } from './data-api.ts';
import { type MoveView, selectMoves, toMoveView } from './moves.ts';
import { parseJson } from './registry-column.ts';
import { pageOfBoundedRows, startedList } from './registry-page.ts';
import { compilingOnly, type RegistrySql, registrySql } from './registry-sql.ts';

/** A restore as the API shows it: a move, with what it restores instead of where it goes. */
export interface RestoreView extends Omit<MoveView, 'moveId' | 'target' | 'force'> {
  readonly restoreId: string;
  readonly mode: 'replace' | 'clone' | 'undo';
  /** null for an undo, and until the backup of `at` is begun. */
  readonly backupId: string | null;
  /** The point in time, where a backup of it was made for the restore. */
  readonly at: string | null;
  /** Of an undo: the restore that it takes back. */
  readonly undoes: string | null;
  /** Of a clone: the tenant whose backup it is. */
  readonly cloneOf: string | null;
  readonly mask: boolean;
  /** The writes that the swap has set aside; null before it, and for a clone. */
  readonly discarded: object | null;
  /** What the restore has replaced is still kept, and nothing was moved or restored since. */
  readonly canBeUndone: boolean;
}

const selectRestores = (db: RegistrySql) =>
  selectMoves(db)
    .select(
      sql<boolean>`(
        m.status = 'succeeded' and m.restore ->> 'mode' <> 'clone'
        and exists (select from tenant_move_hops h where h.move_id = m.move_id and h.filling is not null
                    and h.state = 'settled')
        and exists (select from tenant_move_hops h join tenant_database_routing r on r.tenant_id = h.tenant_id
                    where h.move_id = m.move_id and h.state in ('settled', 'cleaned')
                      and cast(h.target ->> 'epoch' as bigint) = r.epoch))`.as('can_be_undone'),
    )
    .where('m.restore', 'is not', null);

type RestoreRow = InferResult<ReturnType<typeof selectRestores>>[number];

/** One page of a tenant's restores, in the order in which they were asked for. @throws {InvalidCursor} */
export async function listRestores(registry: RegistryExecutor, tenantId: string, page: PageRequest) {
  const restores = selectRestores(compilingOnly).where('m.tenant_id', '=', tenantId);
  const list = startedList(restores, { alias: 'm', table: 'tenant_moves', id: 'move_id' }, page);
  return pageOfBoundedRows(await list.read(registry), page, list.positionOf, toView);
}

/** @throws {ResourceNotFound} */
export async function getRestore(
  registry: RegistryExecutor,
  tenantId: string,
  restoreId: string,
): Promise<RestoreView> {
  const row = await selectRestores(registrySql(registry))
    .where('m.tenant_id', '=', tenantId)
    .where('m.move_id', '=', restoreId)
    .executeTakeFirst();
  if (!row) throw new ResourceNotFound('no such restore');
  return toView(row);
}

const sourceOf = (mode: RestoreView['mode']) => (mode === 'undo' ? 'schema' : 'backup');

interface RecordedRestore {
  readonly mode: RestoreView['mode'];
  readonly backupId?: string;
  readonly at?: string;
  readonly undoes?: string;
  readonly cloneOf?: string;
  readonly mask?: boolean;
  readonly discarded?: object;
}

function toView(row: RestoreRow): RestoreView {
  const { moveId, target: _, force: __, ...move } = toMoveView(row);
  const restore = parseJson(row.restore!) as unknown as RecordedRestore;
  return {
    restoreId: moveId,
    mode: restore.mode,
    backupId: restore.backupId ?? null,
    at: restore.at ?? null,
    undoes: restore.undoes ?? null,
    cloneOf: restore.cloneOf ?? null,
    mask: restore.mask ?? false,
    ...move,
    // Whether a hop is filled, and not by the tenant's own rows.
    plan: move.plan.map((hop, index) =>
      index === 0 ? { ...hop, filling: { from: sourceOf(restore.mode) } } : hop,
    ),
    discarded: restore.discarded ?? null,
    canBeUndone: row.can_be_undone,
  };
}
