import type { RegistryExecutor } from '../registry/data-api.ts';
import { columnValue, now } from '../registry/registry-expressions.ts';
import { registrySql } from '../registry/registry-sql.ts';
import type { Measurement } from './measure-tenant.ts';

const SAMPLE_COLUMNS = [
  ...(['active_employees', 'user_count', 'assessment_count', 'storage_bytes'] as const),
  ...(['database_size_bytes', 'row_operations', 'table_bytes', 'index_bytes', 'toast_bytes'] as const),
];

/**
 * Records the tenant's figures of the day. A second measurement of the same day replaces the first. Users and revenue
 * come from the registry, in the same statement. Waits while the tenant is being handed over to another region: a row
 * that is written after the hand-over would stay behind.
 * @param day UTC, `YYYY-MM-DD`.
 * @returns false when the tenant is no longer active.
 * @throws {RegistryError}
 */
export async function recordSample(
  registry: RegistryExecutor,
  { tenantId, day, measurement }: { tenantId: string; day: string; measurement: Measurement },
): Promise<boolean> {
  const kept = await registrySql(registry)
    .insertInto('usage_samples')
    .columns(['tenant_id', 'sampled_on', 'active_users', 'monthly_revenue', ...SAMPLE_COLUMNS])
    .expression((db) =>
      db
        .selectFrom((tenants) =>
          tenants
            .selectFrom('tenants')
            .select(['tenants.tenant_id', 'tenants.monthly_revenue'])
            .where('tenants.tenant_id', '=', tenantId)
            .where('tenants.status', '=', 'active')
            .forShare()
            .as('t'),
        )
        .select((eb) => [
          't.tenant_id',
          columnValue('usage_samples.sampled_on', day).as('sampled_on'),
          eb
            .selectFrom('tenant_users as u')
            .select((each) => each.fn.countAll<number>().as('users'))
            .whereRef('u.tenant_id', '=', 't.tenant_id')
            .where('u.is_active', '=', true)
            .$asScalar()
            .$notNull()
            .as('active_users'),
          't.monthly_revenue',
          // In the order of SAMPLE_COLUMNS.
          columnValue('usage_samples.active_employees', measurement.activeEmployees).as('active_employees'),
          columnValue('usage_samples.user_count', measurement.userCount).as('user_count'),
          columnValue('usage_samples.assessment_count', measurement.assessmentCount).as('assessment_count'),
          columnValue('usage_samples.storage_bytes', measurement.storageBytes).as('storage_bytes'),
          columnValue('usage_samples.database_size_bytes', measurement.databaseSizeBytes).as(
            'database_size_bytes',
          ),
          columnValue('usage_samples.row_operations', measurement.rowOperations).as('row_operations'),
          columnValue('usage_samples.table_bytes', measurement.storage?.tableBytes ?? null).as('table_bytes'),
          columnValue('usage_samples.index_bytes', measurement.storage?.indexBytes ?? null).as('index_bytes'),
          columnValue('usage_samples.toast_bytes', measurement.storage?.toastBytes ?? null).as('toast_bytes'),
        ]),
    )
    .onConflict((other) =>
      other.columns(['tenant_id', 'sampled_on']).doUpdateSet((eb) => ({
        active_users: eb.ref('excluded.active_users'),
        active_employees: eb.ref('excluded.active_employees'),
        user_count: eb.ref('excluded.user_count'),
        assessment_count: eb.ref('excluded.assessment_count'),
        storage_bytes: eb.ref('excluded.storage_bytes'),
        database_size_bytes: eb.ref('excluded.database_size_bytes'),
        row_operations: eb.ref('excluded.row_operations'),
        table_bytes: eb.ref('excluded.table_bytes'),
        index_bytes: eb.ref('excluded.index_bytes'),
        toast_bytes: eb.ref('excluded.toast_bytes'),
        monthly_revenue: eb.ref('excluded.monthly_revenue'),
        sampled_at: now,
      })),
    )
    .returning('usage_samples.tenant_id')
    .execute();
  return kept.length > 0;
}
