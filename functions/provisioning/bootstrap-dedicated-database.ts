import {
  bootstrapDataDatabase,
  type DatabaseVersions,
} from '../database/provisioning/bootstrap-data-database.ts';
import { dataConnection } from '../database/provisioning/data-connection.ts';
import { regionOfArn } from '../database/session/credentials.ts';
import { dedicatedSecretName } from '../placement/tenant-names.ts';
import type { OwnedDatabase } from './owner-connection.ts';
import { readSecret } from './tenant-secret.ts';

/**
 * Prepares the tenant's own database as cells are prepared at deployment, but without shared tables. Run again, on a
 * database in use too, it changes nothing but the owner's password, which it sets to what the secret says; a schema
 * `tenancy` that is older or newer than this code's stays.
 * @throws {TenantSecretInvalid} and the errors of the driver and of Secrets Manager.
 * @returns the versions that the database has now.
 */
export async function bootstrapDedicatedDatabase(
  tenantId: string,
  { writerHost: host, port, database, ownerSecret }: OwnedDatabase,
): Promise<DatabaseVersions> {
  const { password: ownerPassword } = await readSecret(ownerSecret);
  const credentials = await readSecret(dedicatedSecretName(tenantId, 'master'), regionOfArn(ownerSecret));
  const master = await dataConnection({ host, port, database, credentials });
  try {
    return await bootstrapDataDatabase(master, { ownerPassword, shared: false });
  } finally {
    await master.end();
  }
}
