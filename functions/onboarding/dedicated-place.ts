import type { Stack } from '@aws-sdk/client-cloudformation';
import { sql } from 'kysely';
import { DATA_DATABASE } from '../contracts/names.ts';
import { dedicatedStackName, FIRST_EPOCH, tenantRoleName } from '../placement/tenant-names.ts';
import { dedicatedOutputs } from '../places/dedicated-outputs.ts';
import type { RegistryExecutor } from '../registry/data-api.ts';
import { columnValue, now } from '../registry/registry-expressions.ts';
import { registrySql } from '../registry/registry-sql.ts';

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
  await registrySql(registry)
    .insertInto('tenant_database_routing')
    .columns([
      ...(['tenant_id', 'region', 'isolation_model', 'schema_name', 'role_name', 'database_name'] as const),
      ...(['epoch', 'database_host', 'database_port', 'read_replica_host', 'cluster_arn'] as const),
      ...(['secret_arn', 'writer_host', 'stack_name'] as const),
    ])
    .expression((db) =>
      db
        .selectFrom('tenants as t')
        .select(['t.tenant_id', 't.home_region', sql.lit('dedicated').as('isolation_model')])
        .select([
          columnValue('tenant_database_routing.schema_name', name).as('schema_name'),
          columnValue('tenant_database_routing.role_name', name).as('role_name'),
          columnValue('tenant_database_routing.database_name', DATA_DATABASE).as('database_name'),
          columnValue('tenant_database_routing.epoch', FIRST_EPOCH).as('epoch'),
          columnValue('tenant_database_routing.database_host', proxyHost).as('database_host'),
          columnValue('tenant_database_routing.database_port', port).as('database_port'),
          columnValue('tenant_database_routing.read_replica_host', readerHost).as('read_replica_host'),
          columnValue('tenant_database_routing.cluster_arn', clusterArn).as('cluster_arn'),
          columnValue('tenant_database_routing.secret_arn', secretArn).as('secret_arn'),
          columnValue('tenant_database_routing.writer_host', writerHost).as('writer_host'),
          columnValue('tenant_database_routing.stack_name', dedicatedStackName(tenantId)).as('stack_name'),
        ])
        .where('t.tenant_id', '=', tenantId)
        .where('t.status', '=', 'provisioning'),
    )
    .onConflict((other) =>
      other
        .column('tenant_id')
        .doUpdateSet((eb) => ({
          database_host: eb.ref('excluded.database_host'),
          database_port: eb.ref('excluded.database_port'),
          read_replica_host: eb.ref('excluded.read_replica_host'),
          cluster_arn: eb.ref('excluded.cluster_arn'),
          secret_arn: eb.ref('excluded.secret_arn'),
          writer_host: eb.ref('excluded.writer_host'),
          stack_name: eb.ref('excluded.stack_name'),
          updated_at: now,
        }))
        .whereRef('tenant_database_routing.epoch', '=', 'excluded.epoch'),
    )
    .execute();
}
