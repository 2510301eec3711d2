/**
 * Making a place, the part that signs in to its database: bootstrap, schema and role, placement, verification.
 *
 *   dedicated   (launchPlace) ─▶ bootstrapPlace ─▶ schema ─▶ recordPlacement ─▶ verifyPlace
 *   schema      (createCredentials) ─▶ schema ─▶ recordPlacement ─▶ (registerWithProxy) ─▶ verifyPlace
 *   shared      recordPlacement ─▶ verifyPlace
 *
 * `schema` depends on what fills the place. A place that begins empty gets complete tables (`createSchema`). A place
 * that is filled with rows gets bare tables with the same settings (`schemaSettings`, then `createBareSchema` of
 * database/transfer), and indexes and keys after the rows. The feature that fills a place also commits it: onboarding
 * records the placement before the tenant is active, a move when it commits.
 *
 * Each operation may be repeated, be interrupted at any point or run concurrently, and returns its results as a part of
 * the place.
 */
import type pg from 'pg';
import { tierTerms } from '../contracts/tier-terms.ts';
import { bootstrapDataDatabase } from '../database/provisioning/bootstrap-data-database.ts';
import { dataConnection } from '../database/provisioning/data-connection.ts';
import { placeTenant } from '../database/provisioning/place-tenant.ts';
import { TENANCY_VERSION } from '../database/provisioning/tenancy-schema.ts';
import { createTenantSchema } from '../database/provisioning/tenant-schema.ts';
import { updateTenancy } from '../database/provisioning/update-target.ts';
import { regionOfArn } from '../database/session/credentials.ts';
import { asOwner } from '../database/session/owner-connection.ts';
import { dedicatedSecretName } from '../placement/tenant-names.ts';
import { TenantSecretInvalid, TenantUnreachable } from './errors.ts';
import { databaseSizeOf, type Place, tierOf } from './place.ts';
import { readSecret } from './tenant-secret.ts';

type OwnedPlace = Pick<Place, 'writerHost' | 'port' | 'database' | 'ownerSecret'>;

/**
 * Runs `work` as the owner of the place's database, on the cluster itself, on a connection that pipelines.
 * @param options `pipeline: false` for streams of COPY, which a pipeline cannot carry.
 * @throws {TypeError} the place has no database yet; and the driver's errors.
 */
export async function asOwnerOf<Result>(
  place: OwnedPlace,
  work: (owner: pg.Client) => Promise<Result>,
  { pipeline = true }: { readonly pipeline?: boolean } = {},
): Promise<Result> {
  return asOwner(databaseOf(place), work, { pipeline });
}

/** The same with one connection for each of the places, in their order. */
export async function asOwnersOf<Result>(
  [place, ...others]: readonly OwnedPlace[],
  work: (owners: readonly pg.Client[]) => Promise<Result>,
): Promise<Result> {
  if (!place) return work([]);
  return asOwnerOf(place, (owner) => asOwnersOf(others, (owners) => work([owner, ...owners])));
}

function databaseOf({ writerHost, port, database, ownerSecret }: OwnedPlace) {
  if (writerHost === null || port === null) throw new TypeError('the place has no database yet');
  return { writerHost, port, database, ownerSecret };
}

/**
 * Prepares a dedicated database as a deployment prepares a cell, but without shared tables. Rollouts skip a database
 * that the tenant has left, so an older schema `tenancy` there is updated as a rollout would do it. A repetition
 * changes nothing but the owner's password, which it sets to the secret's.
 * @throws {TenantSecretInvalid} and the errors of the driver and of Secrets Manager.
 */
export async function bootstrapPlace(place: Place, tenantId: string): Promise<Partial<Place>> {
  if (place.isolationModel !== 'dedicated') return {};
  const owned = databaseOf(place);
  const { writerHost: host, port, database, ownerSecret } = owned;
  const { password: ownerPassword } = await readSecret(ownerSecret);
  const masterSecret = dedicatedSecretName(tenantId, 'master', databaseSizeOf(place));
  const credentials = await readSecret(masterSecret, regionOfArn(ownerSecret));
  const master = await dataConnection({ host, port, database, credentials });
  const { tenancyVersion } = await bootstrapDataDatabase(master, { ownerPassword, shared: false }).finally(
    () => master.end(),
  );
  if (tenancyVersion >= TENANCY_VERSION) return { tenancyVersion };
  return { tenancyVersion: await asOwner(owned, (owner) => updateTenancy(owner)) };
}

/**
 * Role, password and limits for the place's schema.
 * @throws {TenantSecretInvalid} the secret is another role's. {TypeError} it does not exist yet.
 */
export async function schemaSettings(place: Place, tenantId: string) {
  const { schemaName, roleName, secretArn, poolSize } = place;
  if (secretArn === null) throw new TypeError('the place has no secret yet');
  const { username, password } = await readSecret(secretArn);
  if (username !== roleName) throw new TenantSecretInvalid();
  const connectionLimit = tierTerms[tierOf(place)].connectionLimit ?? poolSize;
  return { tenantId, schemaName, roleName, password, connectionLimit };
}

/**
 * Creates the schema of a place that begins empty, with all tables and the login role.
 * @throws {TenantSchemaInUse} the schema is another tenant's; the errors of {@link schemaSettings}; the driver's
 * errors.
 */
export async function createSchema(place: Place, tenantId: string): Promise<Partial<Place>> {
  const settings = await schemaSettings(place, tenantId);
  const schemaVersion = await asOwner(databaseOf(place), (owner) => createTenantSchema(owner, settings));
  return { schemaVersion };
}

/**
 * Writes the tenant's placement into the place's database, so that its transactions may enter.
 * @throws {PlacementConflict} the database has another, or a newer, placement of the tenant.
 */
export async function recordPlacement(place: Place, tenantId: string): Promise<void> {
  const { epoch, isolationModel, schemaName, roleName } = place;
  await asOwner(databaseOf(place), (owner) =>
    placeTenant(owner, { tenantId, epoch, isolationModel, schemaName, roleName }),
  );
}

/** The tenant that {@link verifyPlace} enters as: the tenant itself, or a canary that has a placement beside it. */
export interface Entering {
  readonly tenantId: string;
  readonly access: 'read' | 'write';
}

/**
 * Does what the first request will do: signs in through the place's proxy with the secret of its login role, enters,
 * reads and, for `write`, writes a row; then rolls back. So an error that only AWS can cause (a proxy that has not
 * fetched the secret yet, a security group) appears here and not in the tenant's first request.
 * @param entering when absent, only the login is tried, because no transaction can enter before the commit.
 * @throws {TenantUnreachable} transient until the proxy accepts the secret. A proxy does not say why it refuses, so
 * every refusal is reported as this.
 */
export async function verifyPlace(
  { host, port, database, secretArn, epoch }: Place,
  entering?: Entering,
): Promise<void> {
  if (host === null || port === null || secretArn === null) throw new TypeError('the place is not made yet');
  try {
    const connection = await dataConnection({ host, port, database, secretArn });
    try {
      if (entering) await enterOnce(connection, epoch, entering);
      else await connection.query('SELECT 1');
    } finally {
      await connection.end();
    }
  } catch (error) {
    throw new TenantUnreachable({ cause: error });
  }
}

async function enterOnce(
  connection: pg.Client,
  epoch: number,
  { tenantId, access }: Entering,
): Promise<void> {
  const mode = access === 'read' ? 'REPEATABLE READ READ ONLY' : 'READ COMMITTED';
  await connection.query(`BEGIN ISOLATION LEVEL ${mode}`);
  await connection.query('SELECT tenancy.enter($1::uuid, $2::bigint, $3)', [tenantId, epoch, access]);
  await connection.query('SELECT employee_id FROM employees LIMIT 1');
  if (access === 'write') {
    await connection.query(
      `INSERT INTO employees (email, first_name, last_name) VALUES ($1, 'Canary', 'Bird')`,
      [`${tenantId}@canary.invalid`],
    );
  }
  await connection.query('ROLLBACK');
}
