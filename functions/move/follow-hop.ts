import type { DataApi, RegistryExecutor } from '../registry/data-api.ts';
import { handOver } from './handover/hand-over.ts';
import { type Hop, schemaVersionOf } from './hop.ts';
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
    const followed = await transaction.query(
      `UPDATE tenant_database_routing
       SET database_host = :host, database_port = :port::int, database_name = :database, schema_name = :schemaName,
           connection_pool_size = :poolSize::int, read_replica_host = :readerHost, cell_id = :cellId,
           cluster_arn = :clusterArn, isolation_model = :isolationModel, role_name = :roleName,
           secret_arn = :secretArn, epoch = :epoch::bigint, region = :region, writer_host = :writerHost,
           stack_name = :stackName, schema_version = :schemaVersion::int, updated_at = now()
       WHERE tenant_id = :tenantId::uuid AND epoch < :epoch::bigint
       RETURNING tenant_id`,
      {
        ...{ tenantId, host, port, secretArn, database: target.database, schemaName: target.schemaName },
        ...{ poolSize: target.poolSize, readerHost: target.readerHost, cellId: target.cellId },
        ...{ clusterArn: target.clusterArn, isolationModel: target.isolationModel, epoch: target.epoch },
        ...{ roleName: target.roleName, region: target.region, writerHost: target.writerHost },
        ...{ stackName: target.stackName, schemaVersion: schemaVersionOf(hop) },
      },
    );
    if (followed.length > 0) {
      await transaction.query(
        `UPDATE tenants SET isolation_model = :isolationModel, schema_name = :schemaName, updated_at = now()
         WHERE tenant_id = :tenantId::uuid`,
        { tenantId, isolationModel: target.isolationModel, schemaName: target.schemaName },
      );
    }
    await noteCommit(transaction, hop, facts);
  });
}

async function noteCommit(
  transaction: RegistryExecutor,
  { moveId, index }: Hop,
  facts: Readonly<Record<string, unknown>>,
): Promise<void> {
  await transaction.query(
    `UPDATE tenant_move_hops SET result = result || :facts::jsonb, committed_at = COALESCE(committed_at, now()),
              state = CASE WHEN state IN ('working', 'rolling-back') THEN 'committed' ELSE state END,
              updated_at = now()
       WHERE move_id = :moveId::uuid AND hop_index = :index::int`,
    { moveId, index, facts: JSON.stringify(facts) },
  );
}
