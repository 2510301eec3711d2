/**
 * The deletion of a dedicated database that its tenant has left, after the clean-up in it.
 *
 *   cleaned up ──the tenant neither lives there nor moves there──▶ decided ──▶ deleted (hop `cleaned`)
 *              ──the tenant lives there, or has left it again since──▶ kept (hop `cleaned`)
 *              ──a move to it is running, or a mismatch is unresolved──▶ checked again later
 *
 * Invariants: `deletion` is written to the hop under the lock of the tenant's row, under which moves are recorded and
 * tenants are announced from other regions. A change of size leaves one database for another: only what concerns the
 * one that was left counts. So a move that was recorded before is seen, and the database is kept for
 * it; the launch of a move that is recorded later sees `deletion` and waits until the stack is gone. So a tenant never
 * gets a stack that is being deleted. Every step may be interrupted and repeated, or run concurrently.
 */

import { setTimeout as delay } from 'node:timers/promises';
import { sql } from 'kysely';
import { type DatabaseSize, DEFAULT_DATABASE_SIZE } from '../contracts/database-size.ts';
import {
  type DedicatedDatabase,
  deleteDedicatedDatabase,
  findDedicatedDatabase,
} from '../places/delete-dedicated-database.ts';
import { databaseSizeOf, type Place } from '../places/place.ts';
import { recordAudit } from '../registry/audit-log.ts';
import type { DataApi, RegistryExecutor } from '../registry/data-api.ts';
import { type JsonText, parseJson } from '../registry/registry-column.ts';
import { asText, columnValue, jsonValue, now } from '../registry/registry-expressions.ts';
import { compilingOnly, registrySql } from '../registry/registry-sql.ts';
import { boundTransaction } from '../registry/transaction-limits.ts';
import { HopNotCommitted } from './errors.ts';
import { findHop, findMovingTenant, type HopRecord, setHopState } from './move-records.ts';

/** `result.deletion` of a hop, after the decision. */
interface Deletion extends DedicatedDatabase {
  readonly stackName: string;
  /** Name of the final snapshot. */
  readonly snapshot: string;
}

/** The part of a move's report about a deleted database. */
export interface DeletedDatabase {
  readonly stackName: string;
  readonly cluster: string;
  /** null when the cluster had been deleted manually before. */
  readonly snapshot: string | null;
  /** RFC 3339. */
  readonly deletedAt: string;
}

type Registry = Pick<DataApi, 'query' | 'transaction'>;

const FIRST_PAUSE_MS = 500;
const LONGEST_PAUSE_MS = 5_000;

/**
 * Deletes the dedicated database at the source of a settled and cleaned up hop, unless the tenant uses it again. Call
 * it until it is done, which takes a quarter of an hour.
 * @param deadline on `performance.now()`'s clock.
 * @throws {HopNotCommitted} the hop is not settled, or not cleaned up.
 * @throws {FinalSnapshotFailed} nothing was deleted. And the errors of AWS and the registry.
 */
export async function deleteLeftDatabase(
  registry: Registry,
  { moveId, hopIndex, executionArn }: { moveId: string; hopIndex: number; executionArn: string },
  deadline: number,
): Promise<{ done: boolean }> {
  for (let pause = FIRST_PAUSE_MS; ; pause = Math.min(pause * 1.5, LONGEST_PAUSE_MS)) {
    const hop = await findHop(registry, moveId, hopIndex);
    // The tenant was offboarded since: it has left nothing.
    if (!hop) return { done: true };
    if (await isDone(registry, hop, executionArn)) return { done: true };
    if (performance.now() + pause > deadline) return { done: false };
    await delay(pause);
  }
}

async function isDone(registry: Registry, hop: HopRecord, executionArn: string): Promise<boolean> {
  if (hop.state === 'cleaned') return true;
  if (hop.state !== 'settled' || !hop.result.cleanedAt) throw new HopNotCommitted();
  const { tenantId } = hop.attempt;
  const deletion =
    (hop.result.deletion as Deletion | undefined) ?? (await decide(registry, hop, executionArn));
  if (deletion === 'later') return false;
  if (deletion === 'kept') {
    await setHopState(registry, hop, ['settled'], 'cleaned');
    return true;
  }
  const { done, snapshot } = await deleteDedicatedDatabase(deletion, {
    name: deletion.snapshot,
    tags: { 'strata:tenant-id': tenantId, 'strata:component': 'dedicated-database' },
  });
  if (done) await recordDeletion(registry, hop, { deletion, snapshot, executionArn });
  return done;
}

/** The decision; committed before anything is deleted. */
async function decide(
  registry: Registry,
  hop: HopRecord,
  executionArn: string,
): Promise<Deletion | 'kept' | 'later'> {
  const { stackName, region, epoch } = hop.source;
  const databaseSize = databaseSizeOf(hop.source);
  const { tenantId } = hop.attempt;
  const database = stackName === null ? undefined : await findDedicatedDatabase(stackName);
  if (stackName === null || !database) return 'kept';
  const deletion: Deletion = { ...database, stackName, snapshot: `${stackName}-e${epoch}` };
  return registry.transaction(async (transaction) => {
    await boundTransaction(transaction);
    await findMovingTenant(transaction, tenantId, { lock: true });
    const uses = await usesOf(transaction, { tenantId, stackName, region, databaseSize, epoch });
    if (uses.lives_there || uses.later_stay) return 'kept';
    if (uses.moves_there) return 'later';
    const decided = await registrySql(transaction)
      .updateTable('tenant_move_hops')
      .set({
        updated_at: now,
        result: sql`case when result -> 'deletion' is null
          then result || ${jsonValue({ deletion })} else result end`,
      })
      .where('move_id', '=', hop.moveId)
      .where('hop_index', '=', hop.index)
      .where('state', '=', 'settled')
      .returning(asText(sql<JsonText<Deletion>>`result -> 'deletion'`).as('deletion'))
      .executeTakeFirst();
    if (!decided) return 'kept';
    await recordAudit(transaction, {
      actor: { id: executionArn, type: 'workflow' },
      action: 'database.delete',
      tenantId,
      resource: { type: 'move', id: hop.moveId },
      data: { stackName, cluster: deletion.cluster },
    });
    return parseJson(decided.deletion);
  });
}

/**
 * - `lives_there`: the tenant's routing row points there.
 * - `later_stay`: it has returned since and left again: the clean-up of that later stay deletes the database.
 * - `moves_there`: a move to it is running, or has kept both places for an operator because they differ.
 */
function usesOf(
  transaction: RegistryExecutor,
  {
    tenantId,
    stackName,
    region,
    databaseSize,
    epoch,
  }: { tenantId: string; stackName: string; region: string; databaseSize: DatabaseSize; epoch: number },
) {
  const isThere = (place: 'h.source' | 'h.target') => {
    const column = sql.ref(place);
    return sql<boolean>`(${column} ->> 'stackName' = ${stackName} and ${column} ->> 'region' = ${region})`;
  };
  const hopsOfTenant = compilingOnly
    .selectFrom('tenant_move_hops as h')
    .select('h.move_id')
    .where('h.tenant_id', '=', tenantId);
  return registrySql(transaction)
    .selectNoFrom((eb) => [
      eb
        .exists(
          eb
            .selectFrom('tenant_database_routing as r')
            .innerJoin('tenants as t', 't.tenant_id', 'r.tenant_id')
            .select('r.tenant_id')
            .where('r.tenant_id', '=', tenantId)
            .where('r.stack_name', '=', stackName)
            .where('r.region', '=', region)
            .where('t.status', 'not in', ['arriving', 'elsewhere']),
        )
        .as('lives_there'),
      eb
        .exists(
          hopsOfTenant
            .where('h.state', 'in', ['settled', 'cleaned'])
            .where(isThere('h.source'))
            .where(sql<number>`cast(h.source ->> 'epoch' as bigint)`, '>', epoch),
        )
        .as('later_stay'),
      eb
        .or([
          eb.exists(
            eb
              .selectFrom('tenants as t')
              .select('t.tenant_id')
              .where('t.tenant_id', '=', tenantId)
              .where('t.status', '=', 'arriving'),
          ),
          sql<boolean>`exists (
            select from tenant_moves as m, jsonb_array_elements(m.plan) as each (hop)
             where m.tenant_id = ${columnValue('tenant_moves.tenant_id', tenantId)} and m.status = 'running'
               and hop -> 'to' ->> 'isolationModel' = 'dedicated' and hop -> 'to' ->> 'region' = ${region}
               and coalesce(hop -> 'to' ->> 'databaseSize', ${DEFAULT_DATABASE_SIZE}) = ${databaseSize})`,
          eb.exists(
            hopsOfTenant
              .where('h.state', 'in', ['working', 'committed', 'rolling-back', 'mismatch'])
              .where((each) => each.or([isThere('h.target'), isThere('h.source')])),
          ),
        ])
        .as('moves_there'),
    ])
    .executeTakeFirstOrThrow();
}

/**
 * True while the tenant's dedicated database of that stack in a region is being deleted: a launch has to wait for its end.
 * @param registry the region's.
 */
export async function isBeingDeleted(
  registry: RegistryExecutor,
  tenantId: string,
  { region, stackName }: Pick<Place, 'region' | 'stackName'>,
): Promise<boolean> {
  const found = await registrySql(registry)
    .selectFrom('tenant_move_hops')
    .select('move_id')
    .where('tenant_id', '=', tenantId)
    .where('state', '=', 'settled')
    .where(sql<boolean>`result -> 'deletion' is not null`)
    .where(sql<string>`source ->> 'region'`, '=', region)
    .where(sql<string | null>`source ->> 'stackName'`, '=', stackName)
    .limit(1)
    .executeTakeFirst();
  return found !== undefined;
}

/** Written to the hop, and to the report of its move, which may have ended before or may end later. */
function recordDeletion(
  registry: Registry,
  { moveId, index, attempt: { tenantId } }: HopRecord,
  { deletion, snapshot, executionArn }: { deletion: Deletion; snapshot: string | null; executionArn: string },
): Promise<void> {
  const { stackName, cluster } = deletion;
  const deleted: DeletedDatabase = { stackName, cluster, snapshot, deletedAt: new Date().toISOString() };
  return registry.transaction(async (transaction) => {
    await boundTransaction(transaction);
    // The tenant is locked first, as the end of its move does: of report and hop, the second writer sees the first one.
    await findMovingTenant(transaction, tenantId, { lock: true });
    const db = registrySql(transaction);
    const changed = await db
      .updateTable('tenant_move_hops')
      .set({
        state: 'cleaned',
        updated_at: now,
        result: sql`result || ${jsonValue({ deletedDatabase: deleted })}`,
      })
      .where('move_id', '=', moveId)
      .where('hop_index', '=', index)
      .where('state', '=', 'settled')
      .returning('move_id')
      .execute();
    if (changed.length === 0) return;
    await db
      .updateTable('tenant_moves')
      .set({ updated_at: now, report: sql`report || ${jsonValue({ deletedDatabase: deleted })}` })
      .where('move_id', '=', moveId)
      .execute();
    await recordAudit(transaction, {
      actor: { id: executionArn, type: 'workflow' },
      action: 'database.deleted',
      tenantId,
      resource: { type: 'move', id: moveId },
      data: { ...deleted },
    });
  });
}
