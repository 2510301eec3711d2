import { dataConnection } from '../../database/provisioning/data-connection.ts';
import { TenantUnreachable } from '../../places/errors.ts';
import type { Place } from '../hop.ts';

/**
 * Signs in as requests will: through the place's proxy, with the secret of its login role. Whether the tenant's tables
 * are there is another question.
 * @throws {TenantUnreachable} transient while the proxy takes up the secret; any other refusal is told so too, because
 *   a proxy does not say which it is.
 */
export async function verifyLogin({
  host,
  port,
  database,
  secretArn,
}: Pick<Place, 'host' | 'port' | 'database' | 'secretArn'>): Promise<void> {
  if (host === null || port === null || secretArn === null) throw new TypeError('the place is not made yet');
  try {
    const connection = await dataConnection({ host, port, database, secretArn });
    try {
      await connection.query('SELECT 1');
    } finally {
      await connection.end();
    }
  } catch (error) {
    throw new TenantUnreachable({ cause: error });
  }
}
