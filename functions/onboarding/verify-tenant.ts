import { dataConnection } from '../database/provisioning/data-connection.ts';
import { TenantUnreachable } from '../places/errors.ts';
import type { RegistryExecutor } from '../registry/data-api.ts';
import { onProvisioningTenant, placeOf, type StepOutcome, secretOf } from './provisioning-tenant.ts';

/**
 * Walks the way of a request before any request does: through the proxy, with the tenant's own secret, into its
 * placement, to its tables. What only AWS can get wrong (a proxy that has not fetched the secret yet, a security
 * group) shows here and not at the tenant's first user.
 * @throws {TenantUnreachable} transient while the proxy takes up the secret.
 */
export function verifyTenant(registry: RegistryExecutor, tenantId: string): Promise<StepOutcome> {
  return onProvisioningTenant(registry, tenantId, async (tenant) => {
    const place = placeOf(tenant);
    const { host, port, database, epoch } = place;
    const secretArn = secretOf(place);
    try {
      const connection = await dataConnection({ host, port, database, secretArn });
      try {
        await connection.query('BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY');
        await connection.query('SELECT tenancy.enter($1::uuid, $2::bigint, $3)', [tenantId, epoch, 'read']);
        await connection.query('SELECT employee_id FROM employees LIMIT 1');
        await connection.query('ROLLBACK');
      } finally {
        await connection.end();
      }
    } catch (error) {
      throw new TenantUnreachable({ cause: error });
    }
  });
}
