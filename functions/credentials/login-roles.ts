/**
 * The part of a rotation that signs in to a data database, as its owner, and to its proxy, as a request does.
 *
 *   role of requests   createStandInRole ─▶ verifyStandIn ─▶ (requests use it) ─▶ renewRole ─▶ verifyRole ─▶ (requests use
 *                      the role again) ─▶ dropStandInRole
 *   owner              renewRole ─▶ verifyRole
 *
 * An owner connects to the cluster itself, and its secret is read for each connection, so it needs no stand-in: between the
 * change of the secret and that of the role, `dataConnection` tries both passwords. Every operation may be repeated.
 */
import type pg from 'pg';
import { IN_USE } from '../contracts/tenant.ts';
import {
  createStandIn,
  dropStandIn,
  isUnused,
  setLoginPassword,
} from '../database/provisioning/stand-in-role.ts';
import { asOwner, type OwnedDatabase } from '../database/session/owner-connection.ts';
import { TenantSecretInvalid } from '../places/errors.ts';
import { findPlace } from '../places/place.ts';
import { verifyPlace } from '../places/place-database.ts';
import { readSecret } from '../places/tenant-secret.ts';
import type { RegistryExecutor } from '../registry/data-api.ts';
import { registrySql } from '../registry/registry-sql.ts';
import type { CredentialRotation } from './credential-records.ts';
import { NotRotatable, RoleInUse } from './errors.ts';

/** Creates the stand-in with the password of its secret. @throws {TenantSecretInvalid} and the driver's errors. */
export async function createStandInRole(
  registry: RegistryExecutor,
  rotation: CredentialRotation,
): Promise<void> {
  const { roleName: principal } = rotation;
  const { username: roleName, password } = await readSecret(standInSecretOf(rotation));
  await asOwnerFor(registry, rotation, (owner) => createStandIn(owner, { principal, roleName, password }));
}

/** Signs in as the stand-in and enters a tenant, as requests will. @throws {TenantUnreachable} transient. */
export function verifyStandIn(registry: RegistryExecutor, rotation: CredentialRotation): Promise<void> {
  return verifySecret(registry, rotation, standInSecretOf(rotation));
}

/**
 * Gives the role the password of its secret, which ends the old one.
 * @throws {TenantSecretInvalid | LoginRoleMissing} and the driver's errors.
 */
export async function renewRole(registry: RegistryExecutor, rotation: CredentialRotation): Promise<void> {
  const { roleName, secret, isImmediate } = rotation;
  const { username, password } = await readSecret(secret);
  if (username !== roleName) throw new TenantSecretInvalid();
  await asOwnerFor(registry, rotation, (owner) =>
    setLoginPassword(owner, roleName, password, { endsSessions: isImmediate }),
  );
}

/** The same with the role, or its login for an owner. A proxy may need minutes until it has the new password. @throws {TenantUnreachable} */
export function verifyRole(registry: RegistryExecutor, rotation: CredentialRotation): Promise<void> {
  return verifySecret(registry, rotation, rotation.secret);
}

/** How long the stand-in must have done nothing, in seconds. */
const UNUSED_SECONDS = 5;

/**
 * Drops the stand-in once requests have left it.
 * @throws {RoleInUse} sessions of it still work, unless `always`; and the driver's errors.
 */
export async function dropStandInRole(
  registry: RegistryExecutor,
  rotation: CredentialRotation,
  { always, unusedSeconds = UNUSED_SECONDS }: { readonly always: boolean; readonly unusedSeconds?: number },
): Promise<void> {
  const { roleName: principal, standInRole: roleName } = rotation;
  if (roleName === null || !(await hasPlace(registry, rotation))) return;
  await asOwnerFor(registry, rotation, async (owner) => {
    if (!always && !(await isUnused(owner, roleName, unusedSeconds))) throw new RoleInUse();
    await dropStandIn(owner, { principal, roleName });
  });
}

function standInSecretOf({ standInSecretArn }: CredentialRotation): string {
  if (standInSecretArn === null) throw new TypeError('the stand-in has no secret');
  return standInSecretArn;
}

/**
 * Through the proxy, as a request. Of a cell's Starter tenants any one is entered; without one, and for an owner, the login
 * is tried.
 */
async function verifySecret(
  registry: RegistryExecutor,
  rotation: CredentialRotation,
  secretArn: string,
): Promise<void> {
  if (rotation.kind === 'owner') {
    const { writerHost, port, database } = await ownedDatabaseOf(registry, rotation);
    await verifyPlace({ host: writerHost, port, database, secretArn, epoch: 0 });
    return;
  }
  const tenantId = rotation.tenantId ?? (await anyStarterOf(registry, rotation.cellId));
  const place = tenantId === undefined ? undefined : await findPlace(registry, tenantId);
  if (tenantId && place) {
    await verifyPlace({ ...place, secretArn }, { tenantId, access: 'read' });
    return;
  }
  if (rotation.cellId === null) return;
  const { host, port, database } = await cellOf(registry, rotation.cellId);
  await verifyPlace({ host, port, database, secretArn, epoch: 0 });
}

async function anyStarterOf(registry: RegistryExecutor, cellId: string | null): Promise<string | undefined> {
  const row = await registrySql(registry)
    .selectFrom('tenant_database_routing as r')
    .innerJoin('tenants as t', 't.tenant_id', 'r.tenant_id')
    .select('r.tenant_id')
    .where('r.cell_id', '=', cellId)
    .where('r.isolation_model', '=', 'shared')
    .where('t.status', 'in', IN_USE)
    // It must not move away between this and the login.
    .where((eb) =>
      eb.not(
        eb.exists(
          eb
            .selectFrom('tenant_moves as m')
            .select('m.move_id')
            .whereRef('m.tenant_id', '=', 'r.tenant_id')
            .where('m.status', '=', 'running'),
        ),
      ),
    )
    .orderBy('r.tenant_id')
    .limit(1)
    .executeTakeFirst();
  return row?.tenant_id;
}

function cellOf(registry: RegistryExecutor, cellId: string) {
  return registrySql(registry)
    .selectFrom('cells')
    .select(['database_host as host', 'database_port as port', 'writer_host', 'database_name as database'])
    .select('owner_secret_arn')
    .where('cell_id', '=', cellId)
    .executeTakeFirstOrThrow();
}

/** Whether there still is a database: a tenant may have been offboarded. */
async function hasPlace(registry: RegistryExecutor, { tenantId }: CredentialRotation): Promise<boolean> {
  return tenantId === null || (await findPlace(registry, tenantId)) !== undefined;
}

async function ownedDatabaseOf(
  registry: RegistryExecutor,
  { tenantId, cellId }: CredentialRotation,
): Promise<OwnedDatabase> {
  if (tenantId === null) {
    const {
      writer_host: writerHost,
      port,
      database,
      owner_secret_arn: ownerSecret,
    } = await cellOf(registry, cellId ?? '');
    return { writerHost, port, database, ownerSecret };
  }
  const place = await findPlace(registry, tenantId);
  if (place?.writerHost == null || place.port === null) throw new NotRotatable('The tenant has no place.');
  const { writerHost, port, database, ownerSecret } = place;
  return { writerHost, port, database, ownerSecret };
}

async function asOwnerFor<Result>(
  registry: RegistryExecutor,
  rotation: CredentialRotation,
  work: (owner: pg.Client) => Promise<Result>,
): Promise<Result> {
  return asOwner(await ownedDatabaseOf(registry, rotation), work);
}
