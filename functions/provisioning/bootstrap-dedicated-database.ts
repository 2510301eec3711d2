import { bootstrapDataDatabase } from '../database/provisioning/bootstrap-data-database.ts';
import { dataConnection } from '../database/provisioning/data-connection.ts';
import { regionOfArn } from '../database/session/credentials.ts';
import { dedicatedSecretName } from '../placement/tenant-names.ts';
import type { OwnedDatabase } from './owner-connection.ts';
import { readSecret } from './tenant-secret.ts';

/**
 * Prepares the tenant's own database as cells are prepared at deployment, but without shared tables. Run again, on a
 * database in use too, it changes nothing but the owner's password, which it sets to what the secret says.
 * @throws {TenantSecretInvalid} and the errors of the driver and of Secrets Manager.
 */
export async function bootstrapDedicatedDatabase(
  tenantId: string,
  { writerHost: host, port, database, ownerSecret }: OwnedDatabase,
): Promise<void> {
  const { password: ownerPassword } = await readSecret(ownerSecret);
  const credentials = await readSecret(dedicatedSecretName(tenantId, 'master'), regionOfArn(ownerSecret));
  const master = await dataConnection({ host, port, database, credentials });
  try {
    await bootstrapDataDatabase(master, { ownerPassword, shared: false });
  } finally {
    await master.end();
  }
}
