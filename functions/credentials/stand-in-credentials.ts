/**
 * The part of a rotation that uses AWS's APIs: secrets and proxies. Nothing here reaches a data database.
 *
 * A proxy signs clients in with the secret of their role, one secret a role. So the stand-in has a secret of its own, which
 * exists, and which the proxy accepts, only while the rotation needs it. The role's secret keeps its ARN.
 */
import { addVersion } from '../aws/secret-versions.ts';
import { secretArnOf } from '../aws/secrets.ts';
import { DATA_DATABASE, starterStandIns } from '../contracts/names.ts';
import { tenantSecretName } from '../placement/tenant-names.ts';
import { findPlace } from '../places/place.ts';
import { reconcileProxyAuth, setDedicatedProxyAuth } from '../places/proxy-auth.ts';
import { deleteSecret, ensureTenantSecret } from '../places/tenant-secret.ts';
import type { DataApi, RegistryExecutor } from '../registry/data-api.ts';
import { registrySql } from '../registry/registry-sql.ts';
import { type CredentialRotation, noteStandInSecret } from './credential-records.ts';
import { switchSecret } from './switch-secret.ts';

/**
 * Makes the secret of the stand-in.
 * @throws Secrets Manager's own error, {TenantSecretInvalid}
 */
export async function prepareStandIn(
  registry: RegistryExecutor,
  rotation: CredentialRotation,
  { kmsKeyArn }: { readonly kmsKeyArn: string },
): Promise<void> {
  const { rotationId, standInRole } = rotation;
  if (standInRole === null) throw new TypeError('the rotation has no stand-in');
  const { host, port, database } = await endpointOf(registry, rotation);
  const secretArn = await ensureTenantSecret({
    name: standInSecretName(rotation),
    kmsKeyArn,
    roleName: standInRole,
    host,
    port,
    database,
    tags: { 'strata:credential-rotation': rotationId },
  });
  await noteStandInSecret(registry, rotationId, secretArn);
}

/**
 * Makes the proxy accept what the registry says: also the stand-in, or no longer.
 * @throws {ProxyBusy | ProxyLeaseLost} transient. {ProxySecretsExhausted | UnknownCell}
 */
export async function registerStandIn(
  registry: RegistryExecutor,
  { tenantId, cellId, secret, standInSecretArn }: CredentialRotation,
  options: { readonly patienceMs?: number } = {},
): Promise<void> {
  if (cellId !== null) {
    await reconcileProxyAuth(registry, cellId, options);
    return;
  }
  const place = tenantId === null ? undefined : await findPlace(registry, tenantId);
  // The tenant is gone, and its proxy with it.
  if (!place?.clusterArn || place.isolationModel !== 'dedicated') return;
  const secretArn = secret.startsWith('arn:') ? secret : await secretArnOf(secret, undefined);
  const accepted = [secretArn, ...(standInSecretArn === null ? [] : [standInSecretArn])];
  await setDedicatedProxyAuth(place.clusterArn, accepted, options);
}

/** Gives the role's secret another password, which the role gets next. @throws Secrets Manager's own error. */
export async function renewSecret(
  registry: Pick<DataApi, 'transaction'>,
  rotation: CredentialRotation,
): Promise<void> {
  const { rotationId, secret, standInSecretArn } = rotation;
  // Of the first tenants of a cell, whose rows were written when no other row showed that there is a stand-in.
  if (standInSecretArn !== null) await switchSecret(registry, rotation, 'stand-in');
  await addVersion(secret, { versionId: rotationId, stage: 'AWSCURRENT' });
}

/**
 * The proxy no longer accepts the stand-in, whose role is gone; its secret is deleted.
 * @throws as {@link registerStandIn}, and Secrets Manager's own error.
 */
export async function discardStandIn(
  registry: RegistryExecutor,
  rotation: CredentialRotation,
  options: { readonly patienceMs?: number } = {},
): Promise<void> {
  if (rotation.standInRole === null) return;
  await noteStandInSecret(registry, rotation.rotationId, null);
  await registerStandIn(registry, { ...rotation, standInSecretArn: null }, options);
  await deleteSecret(standInSecretName(rotation));
}

/** Among those that requests may read. */
function standInSecretName({ tenantId, cellId, standInRole }: CredentialRotation): string {
  if (tenantId !== null) return tenantSecretName(tenantId, standInRole ?? '');
  return `${starterStandIns(cellId ?? '')}${standInRole}`;
}

async function endpointOf(registry: RegistryExecutor, { tenantId, cellId }: CredentialRotation) {
  if (tenantId !== null) {
    const place = await findPlace(registry, tenantId);
    if (place?.host == null || place.port === null) throw new TypeError('the tenant has no place');
    return { host: place.host, port: place.port, database: place.database };
  }
  const cell = await registrySql(registry)
    .selectFrom('cells')
    .select(['database_host as host', 'database_port as port'])
    .where('cell_id', '=', cellId ?? '')
    .executeTakeFirstOrThrow();
  return { ...cell, database: DATA_DATABASE };
}
