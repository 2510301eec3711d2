import {
  bootstrapDataDatabase,
  type DatabaseVersions,
} from '../database/provisioning/bootstrap-data-database.ts';
import { dataConnection } from '../database/provisioning/data-connection.ts';
import { TENANCY_VERSION } from '../database/provisioning/tenancy-schema.ts';
import { updateTenancy } from '../database/provisioning/update-target.ts';
import { regionOfArn } from '../database/session/credentials.ts';
import { asOwner, type OwnedDatabase } from '../database/session/owner-connection.ts';
import { dedicatedSecretName } from '../placement/tenant-names.ts';
import { readSecret } from './tenant-secret.ts';

/**
 * Prepares the tenant's own database as cells are prepared at deployment, but without shared tables. A database that the
 * tenant left earlier is no target of rollouts, so an older schema `tenancy` there is brought up to date, as a rollout does
 * it. Run again, it changes nothing but the owner's password, which it sets to what the secret says.
 * @throws {TenantSecretInvalid} and the errors of the driver and of Secrets Manager.
 * @returns the versions that the database has now.
 */
export async function bootstrapDedicatedDatabase(
  tenantId: string,
  place: OwnedDatabase,
): Promise<DatabaseVersions> {
  const { writerHost: host, port, database, ownerSecret } = place;
  const { password: ownerPassword } = await readSecret(ownerSecret);
  const credentials = await readSecret(dedicatedSecretName(tenantId, 'master'), regionOfArn(ownerSecret));
  const master = await dataConnection({ host, port, database, credentials });
  const versions = await bootstrapDataDatabase(master, { ownerPassword, shared: false }).finally(() =>
    master.end(),
  );
  if (versions.tenancyVersion >= TENANCY_VERSION) return versions;
  return { ...versions, tenancyVersion: await asOwner(place, (owner) => updateTenancy(owner)) };
}
