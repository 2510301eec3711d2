import type { RegistryExecutor } from '../../registry/data-api.ts';
import type { Measurement } from './measure-tenant.ts';

/**
 * Keeps the tenant's figures of the day; measured again on the same day, the later figures stay. Users and revenue are
 * the registry's own, read in the same statement. A tenant that is being handed to another region is waited for: what is
 * written after it has left would stay behind.
 * @param day UTC, `YYYY-MM-DD`.
 * @returns false where the tenant is no longer active.
 * @throws {RegistryError}
 */
export async function recordSample(
  registry: RegistryExecutor,
  { tenantId, day, measurement }: { tenantId: string; day: string; measurement: Measurement },
): Promise<boolean> {
  const kept = await registry.query(
    `INSERT INTO usage_samples AS s
       (tenant_id, sampled_on, active_users, active_employees, user_count, assessment_count, storage_bytes,
        database_size_bytes, row_operations, monthly_revenue)
     SELECT t.tenant_id, :day::date,
            (SELECT count(*) FROM tenant_users u WHERE u.tenant_id = t.tenant_id AND u.is_active),
            :activeEmployees::integer, :userCount::integer, :assessmentCount::bigint, :storageBytes::bigint,
            :databaseSizeBytes::bigint, :rowOperations::bigint, t.monthly_revenue
     FROM (SELECT tenant_id, monthly_revenue FROM tenants
           WHERE tenant_id = :tenantId::uuid AND status = 'active' FOR SHARE) t
     ON CONFLICT (tenant_id, sampled_on) DO UPDATE SET
       active_users = excluded.active_users, active_employees = excluded.active_employees,
       user_count = excluded.user_count, assessment_count = excluded.assessment_count,
       storage_bytes = excluded.storage_bytes, database_size_bytes = excluded.database_size_bytes,
       row_operations = excluded.row_operations, monthly_revenue = excluded.monthly_revenue, sampled_at = now()
     RETURNING s.tenant_id::text AS tenant_id`,
    { tenantId, day, ...measurement },
  );
  return kept.length > 0;
}
