import { sql } from 'kysely';
import type { DataApi, RegistryExecutor } from '../registry/data-api.ts';
import type { JsonText } from '../registry/registry-column.ts';
import { jsonValue, now } from '../registry/registry-expressions.ts';
import { registrySql } from '../registry/registry-sql.ts';
import type { Hop } from './hop.ts';
import { handOver } from './other-region/hand-over.ts';
import { routeTo } from './other-region/tenant-row.ts';
import { crossesBorder, type Regions } from './regions.ts';

export interface FollowOptions {
  /** Kept with the hop. */
  readonly facts?: Readonly<Record<string, unknown>>;
  readonly regions?: Regions | undefined;
}

/**
 * Makes the registry, or both of them where the tenant has left the region, tell the place that a committed hop has led
 * to. Repeating it changes nothing, and neither does a late one: the epoch only grows.
 */
export function followHop(
  registry: Pick<DataApi, 'transaction'>,
  hop: Hop,
  { facts = {}, regions }: FollowOptions = {},
): Promise<void> {
  const {
    attempt: { tenantId },
    target,
  } = hop;
  const { host, port, secretArn } = target;
  if (host === null || port === null || secretArn === null) throw new TypeError('the target was never there');
  if (regions && crossesBorder(hop)) {
    return handOver(registry, regions, hop, (transaction) => noteCommit(transaction, hop, facts));
  }
  return registry.transaction(async (transaction) => {
    const db = registrySql(transaction);
    const followed = await db
      .updateTable('tenant_database_routing')
      .set({ ...routeTo(target), updated_at: now })
      .where('tenant_id', '=', tenantId)
      .where('epoch', '<', target.epoch)
      .returning('tenant_id')
      .execute();
    if (followed.length > 0) {
      await db
        .updateTable('tenants')
        .set({ isolation_model: target.isolationModel, schema_name: target.schemaName, updated_at: now })
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
