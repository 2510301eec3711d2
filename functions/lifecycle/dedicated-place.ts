import type { Stack } from '@aws-sdk/client-cloudformation';
import * as z from 'zod';
import type { RegistryExecutor } from '../database/registry/data-api.ts';
import { DATA_DATABASE, dedicatedStackName, FIRST_EPOCH, tenantRoleName } from '../placement/tenant-names.ts';
import { DedicatedStackFailed } from './errors.ts';

/** Outputs of DedicatedDatabaseStack that a place is made of. */
const outputs = z.object({
  ClusterArn: z.string().min(1),
  WriterHost: z.string().min(1),
  ReaderHost: z.string().optional(),
  ProxyHost: z.string().min(1),
  Port: z.coerce.number().int().positive(),
  TenantSecretArn: z.string().min(1),
});

/**
 * Writes the finished stack's outputs as the tenant's planned place. It becomes visible with the activation.
 * @throws {DedicatedStackFailed} the stack lacks an output.
 */
export async function recordDedicatedPlace(
  registry: RegistryExecutor,
  tenantId: string,
  stack: Stack,
): Promise<void> {
  const parsed = outputs.safeParse(
    Object.fromEntries((stack.Outputs ?? []).map(({ OutputKey, OutputValue }) => [OutputKey, OutputValue])),
  );
  if (!parsed.success) throw new DedicatedStackFailed({ cause: parsed.error });
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
      ...{ tenantId, name, host: parsed.data.ProxyHost, port: parsed.data.Port, database: DATA_DATABASE },
      ...{ readerHost: parsed.data.ReaderHost ?? null, clusterArn: parsed.data.ClusterArn },
      ...{ secretArn: parsed.data.TenantSecretArn, epoch: FIRST_EPOCH, writerHost: parsed.data.WriterHost },
      stackName: dedicatedStackName(tenantId),
    },
  );
}
