/**
 * Making a place, the part that signs in to its database: bootstrap, schema and role, placement, verification.
 *
 *   dedicated   (launchPlace) ─▶ bootstrapPlace ─▶ schema ─▶ recordPlacement ─▶ verifyPlace
 *   schema      (createCredentials) ─▶ schema ─▶ recordPlacement ─▶ (registerWithProxy) ─▶ verifyPlace
 *   shared      recordPlacement ─▶ verifyPlace
 *
 * `schema` depends on what fills the place. A place that begins empty gets whole tables (`createSchema`); one that is
 * filled from elsewhere gets bare tables with the same settings (`schemaSettings`, then `createBareSchema` of
 * database/transfer), and indexes and keys once the rows are there. Where a place is committed is the filler's matter too:
 * onboarding records the placement before the tenant is active, a move when it commits.
 *
 * Each operation may be repeated, be cut off anywhere or run twice at once, and answers what it has found out as a part of
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
import { type Place, tierOf } from './place.ts';
import { readSecret } from './tenant-secret.ts';

type OwnedPlace = Pick<Place, 'writerHost' | 'port' | 'database' | 'ownerSecret'>;

/**
 * Runs `work` as the owner of the place's database, on the cluster itself, on a connection that pipelines.
 * @throws {TypeError} the place has no database yet; and the driver's errors.
 */
export async function asOwnerOf<Result>(
  place: OwnedPlace,
  work: (owner: pg.Client) => Promise<Result>,
): Promise<Result> {
  return asOwner(databaseOf(place), work, { pipeline: true });
}

/** A connection for each of the places, in their order, as {@link asOwnerOf} opens them. */
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
 * Prepares a dedicated database as cells are prepared at deployment, but without shared tables. A database that the
 * tenant left earlier is no target of rollouts, so an older schema `tenancy` there is brought up to date, as a rollout
 * would do it. Run again, it changes nothing but the owner's password, which it sets to what the secret says.
 * @throws {TenantSecretInvalid} and the errors of the driver and of Secrets Manager.
 */
export async function bootstrapPlace(place: Place, tenantId: string): Promise<Partial<Place>> {
  if (place.isolationModel !== 'dedicated') return {};
  const owned = databaseOf(place);
  const { writerHost: host, port, database, ownerSecret } = owned;
  const { password: ownerPassword } = await readSecret(ownerSecret);
  const credentials = await readSecret(dedicatedSecretName(tenantId, 'master'), regionOfArn(ownerSecret));
  const master = await dataConnection({ host, port, database, credentials });
  const { tenancyVersion } = await bootstrapDataDatabase(master, { ownerPassword, shared: false }).finally(
    () => master.end(),
  );
  if (tenancyVersion >= TENANCY_VERSION) return { tenancyVersion };
  return { tenancyVersion: await asOwner(owned, (owner) => updateTenancy(owner)) };
}

/**
 * With which role, password and limits the place's schema is made.
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
 * @throws {TenantSchemaInUse} the schema is another tenant's; what {@link schemaSettings} throws; the driver's errors.
 */
export async function createSchema(place: Place, tenantId: string): Promise<Partial<Place>> {
  const settings = await schemaSettings(place, tenantId);
  const schemaVersion = await asOwner(databaseOf(place), (owner) => createTenantSchema(owner, settings));
  return { schemaVersion };
}

/**
 * Tells the place's database that the tenant lives there, so that its transactions may enter.
 * @throws {PlacementConflict} the database has another, or a newer, placement of the tenant.
 */
export async function recordPlacement(place: Place, tenantId: string): Promise<void> {
  const { epoch, isolationModel, schemaName, roleName } = place;
  await asOwner(databaseOf(place), (owner) =>
    placeTenant(owner, { tenantId, epoch, isolationModel, schemaName, roleName }),
  );
}

/** As whom {@link verifyPlace} enters: the tenant, or a canary that is placed there beside it. */
export interface Entering {
  readonly tenantId: string;
  readonly access: 'read' | 'write';
}

/**
 * Does what the first request will do: signs in through the place's proxy with the secret of its login role, enters, reads
 * and, for `write`, writes a row; nothing is kept. What only AWS can get wrong (a proxy that has not fetched the secret
 * yet, a security group) shows here and not at the tenant's first user.
 * @param entering without it, only the login is tried: nobody can enter before the commit.
 * @throws {TenantUnreachable} transient while the proxy takes up the secret. A proxy does not say why it refuses, so every
 *   refusal is reported as this.
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
