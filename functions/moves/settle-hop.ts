import { sql } from 'kysely';
import type pg from 'pg';
import { executionArnOf, startExecution } from '../aws/executions.ts';
import { exclusively, releaseClaim } from '../database/transfer/claim.ts';
import { readPlacement, showsCommit } from '../database/transfer/fence.ts';
import { retriedRequests } from '../database/transfer/place-facts.ts';
import { databaseSizeOf } from '../places/place.ts';
import { asOwnerOf } from '../places/place-database.ts';
import { routeNow } from '../places/starter-login.ts';
import type { DataApi, RegistryExecutor } from '../registry/data-api.ts';
import type { JsonText } from '../registry/registry-column.ts';
import { jsonValue, now } from '../registry/registry-expressions.ts';
import { registrySql } from '../registry/registry-sql.ts';
import { HopNotCommitted } from './errors.ts';
import { endFormerValues, type SourceCaches } from './former-values.ts';
import { type Hop, leavesRegion, type Regions } from './hop.ts';
import { setHopState } from './move-records.ts';
import { endReplication } from './relocate/replication.ts';

export interface SettleOptions {
  /** For moves to another region. */
  readonly regions?: Regions | undefined;
  /** Where the region has caches. */
  readonly caches?: SourceCaches | undefined;
}

/**
 * The steps after the commit of a hop, in this order:
 *
 *   the source's row shows the commit ─▶ replication dropped ─▶ the registry follows ─▶ cached values ended
 *     ─▶ claim released ─▶ `settled`
 *
 * Each step may be interrupted and repeated, or run concurrently: a `settled` hop holds no claim, and a hop whose claim
 * is released needs nothing more of its replication.
 * @param context `settled` when the hop was found settled: then there is nothing to do.
 * @throws {HopNotCommitted} the row in the source's database does not show the commit.
 * @throws {ClaimLost | AttemptBusy} and the driver's errors.
 */
export async function settleHop(
  registry: Pick<DataApi, 'transaction' | 'query'>,
  { hop, settled }: { readonly hop: Hop; readonly settled?: boolean },
  { regions, caches }: SettleOptions = {},
): Promise<void> {
  if (settled) return;
  const { attempt, source, kind } = hop;
  await asOwnerOf(source, async (owner) => {
    const placement = await readPlacement(owner, attempt.tenantId);
    if (!showsCommit(placement, hop)) throw new HopNotCommitted();
    const claimed = placement?.mover === attempt.attemptId;
    // A phase before the commit that was delivered twice may still be running, and would create again what is dropped
    // here. Wait for its end; after the commit no other one begins.
    if (claimed) await exclusively(owner, attempt, async () => {});
    if (kind === 'relocate' && claimed) await endReplication(hop);
    await followHop(registry, hop, { facts: { retried: await retriesAround(owner, hop) }, regions });
    await endFormerValues(caches, hop);
    await releaseClaim(owner, attempt);
  });
  await setHopState(registry, hop, ['working', 'committed', 'rolling-back'], 'settled');
}

/** Requests that were repeated at source and target, for the move's report. */
export interface Retried {
  readonly source: number;
  readonly target: number;
}

async function retriesAround(owner: pg.Client, { attempt, kind, source, target }: Hop): Promise<Retried> {
  const { tenantId } = attempt;
  const atTarget = (database: pg.Client) => retriedRequests(database, tenantId, [target.epoch]);
  return {
    source: await retriedRequests(owner, tenantId, [source.epoch]),
    target: kind === 'reshape' ? await atTarget(owner) : await asOwnerOf(target, atTarget),
  };
}

export interface FollowOptions {
  /** Recorded in the hop. */
  readonly facts?: Readonly<Record<string, unknown>>;
  readonly regions?: Regions | undefined;
}

/**
 * Writes the target of a committed hop to the registry as the tenant's place. Repeating it changes nothing, and neither
 * does a late call, because the epoch only grows. For a move to another region both regions' registries are updated.
 */
export async function followHop(
  registry: Pick<DataApi, 'transaction'>,
  hop: Hop,
  { facts = {}, regions }: FollowOptions = {},
): Promise<void> {
  const {
    attempt: { tenantId },
    source,
    target,
  } = hop;
  const { host, port, secretArn } = target;
  if (host === null || port === null || secretArn === null) throw new TypeError('the target was never made');
  if (regions && leavesRegion(hop)) {
    const { handOver } = await import('./other-region/hand-over.ts');
    return handOver(registry, regions, hop, (transaction) => noteCommit(transaction, hop, facts));
  }
  return registry.transaction(async (transaction) => {
    const db = registrySql(transaction);
    const followed = await db
      .updateTable('tenant_database_routing')
      .set({
        ...(await routeNow(transaction, target)),
        ...(source.clusterArn === target.clusterArn ? {} : { arrived_at: now }),
        updated_at: now,
      })
      .where('tenant_id', '=', tenantId)
      .where('epoch', '<', target.epoch)
      .returning('tenant_id')
      .execute();
    if (followed.length > 0) {
      await db
        .updateTable('tenants')
        .set({
          isolation_model: target.isolationModel,
          schema_name: target.schemaName,
          database_size: target.isolationModel === 'dedicated' ? databaseSizeOf(target) : null,
          updated_at: now,
        })
        .where('tenant_id', '=', tenantId)
        .execute();
    }
    await noteCommit(transaction, hop, facts);
  });
}

async function noteCommit(
  transaction: RegistryExecutor,
  { moveId, index }: Hop,
  facts: Readonly<Record<string, unknown>>,
): Promise<void> {
  await registrySql(transaction)
    .updateTable('tenant_move_hops')
    .set((eb) => ({
      result: sql<JsonText<Readonly<Record<string, unknown>>>>`result || ${jsonValue(facts)}`,
      committed_at: eb.fn.coalesce('committed_at', now),
      state: eb
        .case()
        .when('state', 'in', ['working', 'rolling-back'])
        .then(sql.lit('committed' as const))
        .else(eb.ref('state'))
        .end(),
      updated_at: now,
    }))
    .where('move_id', '=', moveId)
    .where('hop_index', '=', index)
    .execute();
}

/**
 * Starts the execution that cleans up the source of a hop, and records it in the hop, unless recovery has recorded a
 * later one. Its name derives from the attempt, so repeated and concurrent calls start only one.
 * @param stateMachineArn of `tenant-move-cleanup`.
 * @throws Step Functions' error, or the registry's.
 */
export async function startCleanUp(
  registry: RegistryExecutor,
  { moveId, index, attempt }: Pick<Hop, 'moveId' | 'index' | 'attempt'>,
  stateMachineArn: string,
): Promise<void> {
  const name = `cleanup-${attempt.attemptId}`;
  await startExecution(stateMachineArn, name, { moveId, hopIndex: index });
  const executionArn = executionArnOf(stateMachineArn, name);
  await registrySql(registry)
    .updateTable('tenant_move_hops')
    .set({ cleanup_execution_arn: executionArn, updated_at: now })
    .where('move_id', '=', moveId)
    .where('hop_index', '=', index)
    .where('cleanup_execution_arn', 'is', null)
    .execute();
}
