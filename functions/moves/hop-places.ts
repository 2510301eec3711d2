import { DATA_DATABASE } from '../contracts/names.ts';
import { dedicatedSecretName, dedicatedStackName } from '../placement/tenant-names.ts';
import type { RegistryExecutor } from '../registry/data-api.ts';
import { registrySql } from '../registry/registry-sql.ts';
import { MoveOvertaken } from './errors.ts';
import type { Place } from './hop.ts';
import type { Spot } from './plan.ts';

/** Where the tenant is now, as far as the registry knows. @throws {MoveOvertaken} it has no place any more. */
export async function presentPlace(registry: RegistryExecutor, tenantId: string): Promise<Place> {
  const row = await registrySql(registry)
    .selectFrom('tenant_database_routing as r')
    .leftJoin('cells as c', 'c.cell_id', 'r.cell_id')
    .select(['r.isolation_model', 'r.cell_id', 'r.region', 'r.database_host', 'r.database_port'])
    .select(['r.read_replica_host', 'r.database_name', 'r.schema_name', 'r.secret_arn', 'r.stack_name'])
    .select(['r.connection_pool_size', 'r.epoch', 'c.owner_secret_arn'])
    .select((eb) => [
      eb.ref('r.role_name').$notNull().as('role_name'),
      eb.fn.coalesce('c.writer_host', 'r.writer_host').as('writer_host'),
      eb.fn.coalesce('c.cluster_arn', 'r.cluster_arn').as('cluster_arn'),
    ])
    .where('r.tenant_id', '=', tenantId)
    .executeTakeFirst();
  if (!row) throw new MoveOvertaken();
  return {
    ...{ isolationModel: row.isolation_model, cellId: row.cell_id, region: row.region },
    ...{ host: row.database_host, port: row.database_port, database: row.database_name },
    ...{ writerHost: row.writer_host, readerHost: row.read_replica_host, clusterArn: row.cluster_arn },
    schemaName: row.isolation_model === 'shared' ? 'shared' : (row.schema_name ?? row.role_name),
    ...{ roleName: row.role_name, secretArn: row.secret_arn, stackName: row.stack_name },
    ownerSecret: row.owner_secret_arn ?? dedicatedSecretName(tenantId, 'owner'),
    ...{ poolSize: row.connection_pool_size, epoch: row.epoch },
  };
}

/**
 * The place that an attempt makes for the tenant. What only its steps find out (a secret, the hosts of a database that
 * does not exist yet) is null.
 */
export async function nextPlace(
  registry: RegistryExecutor,
  { tenantId, source, spot, suffix }: { tenantId: string; source: Place; spot: Spot; suffix: string },
): Promise<Place> {
  const ownName = `tenant_${tenantId.replaceAll('-', '')}_e${suffix}`;
  const known = { ...spot, poolSize: source.poolSize, epoch: source.epoch + 1, readerHost: null };
  if (spot.cellId === null) {
    return {
      ...{ ...known, host: null, port: null, writerHost: null, clusterArn: null },
      ...{ database: DATA_DATABASE, schemaName: ownName, roleName: ownName, secretArn: null },
      ...{ ownerSecret: dedicatedSecretName(tenantId, 'owner'), stackName: dedicatedStackName(tenantId) },
    };
  }
  const cell = await registrySql(registry)
    .selectFrom('cells')
    .select(['database_host', 'database_port', 'writer_host', 'cluster_arn', 'database_name'])
    .select(['owner_secret_arn', 'starter_role_name', 'starter_secret_arn'])
    .where('cell_id', '=', spot.cellId)
    .executeTakeFirst();
  if (!cell) throw new MoveOvertaken({ cause: new Error('the cell of the plan is gone') });
  const shared = spot.isolationModel === 'shared';
  return {
    ...known,
    ...{ host: cell.database_host, port: cell.database_port, database: cell.database_name },
    ...{ writerHost: cell.writer_host, clusterArn: cell.cluster_arn, ownerSecret: cell.owner_secret_arn },
    schemaName: shared ? 'shared' : ownName,
    roleName: shared ? cell.starter_role_name : ownName,
    secretArn: shared ? cell.starter_secret_arn : null,
    stackName: null,
  };
}
