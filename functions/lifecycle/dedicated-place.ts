import type { Stack } from '@aws-sdk/client-cloudformation';
import { DATA_DATABASE, dedicatedStackName, FIRST_EPOCH, tenantRoleName } from '../placement/tenant-names.ts';
import { dedicatedOutputs } from '../provisioning/dedicated-outputs.ts';
import type { RegistryExecutor } from '../registry/data-api.ts';

/**
 * Writes the finished stack's outputs as the tenant's planned place. It becomes visible with the activation.
 * @throws {DedicatedStackFailed} the stack lacks an output.
 */
export async function recordDedicatedPlace(
  registry: RegistryExecutor,
  tenantId: string,
  stack: Stack,
): Promise<void> {
  const { proxyHost, port, writerHost, readerHost, clusterArn, secretArn } = dedicatedOutputs(stack);
  const name = tenantRoleName(tenantId, FIRST_EPOCH);
  await registry.query(
    `INSERT INTO tenant_database_routing AS r
            (tenant_id, database_type, database_host, database_port, database_name, schema_name, read_replica_host,
             cluster_arn, isolation_model, role_name, secret_arn, epoch, region, writer_host, stack_name)
     SELECT t.tenant_id, 'postgresql', :host, :port::int, :database, :name, :readerHost, :clusterArn, 'dedicated',
            :name, :secretArn, :epoch::bigint, t.home_region, :writerHost, :stackName
     FROM tenants t WHERE t.tenant_id = :tenantId::uuid AND t.status = 'provisioning'
     ON CONFLICT (tenant_id) DO UPDATE
       SET database_host = excluded.database_host, database_port = excluded.database_port,
           read_replica_host = excluded.read_replica_host, cluster_arn = excluded.cluster_arn,
           secret_arn = excluded.secret_arn, writer_host = excluded.writer_host, stack_name = excluded.stack_name,
           updated_at = now()
       WHERE r.epoch = excluded.epoch`,
    {
      ...{ tenantId, name, host: proxyHost, port, database: DATA_DATABASE, readerHost, clusterArn },
      ...{ secretArn, epoch: FIRST_EPOCH, writerHost },
      stackName: dedicatedStackName(tenantId),
    },
  );
}
