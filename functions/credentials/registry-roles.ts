/**
 * Rotation of the roles of the registry. The Data API signs in with the current version of a role's secret, and AWS does not
 * say for how long it keeps that version. So for each role, one after the other:
 *
 *   lend ──▶ the secret has a stand-in's login; the role's old password still works ──overlap──▶ renew ──▶ the secret has the
 *   role's new password; the stand-in still works ──overlap──▶ endStandIns
 *
 * A stand-in is a member of its role and inherits its rights. Passwords are in the secret, as AWSPENDING, before the role has
 * them, so each operation may be interrupted anywhere and repeated.
 */
import { addVersion, passwordOfVersion, promoteVersion } from '../aws/secret-versions.ts';
import {
  REGISTRY_DATABASE,
  REGISTRY_READER_ROLE,
  REGISTRY_USERS_ROLE,
  REGISTRY_WRITER_ROLE,
  registrySecretName,
} from '../contracts/names.ts';
import { identifier, literal } from '../database/ddl/identifier.ts';
import { scramVerifier } from '../database/provisioning/data-roles.ts';
import { DataApi, type RegistryExecutor } from '../registry/data-api.ts';
import { type CredentialRotation, standInName } from './credential-records.ts';

/** The registry as its master, and how to open it with another secret. */
export interface RegistryMaster {
  readonly clusterArn: string;
  readonly masterSecretArn: string;
}

const ROLES = [
  { role: REGISTRY_READER_ROLE, secret: registrySecretName('reader') },
  { role: REGISTRY_WRITER_ROLE, secret: registrySecretName('writer') },
  { role: REGISTRY_USERS_ROLE, secret: registrySecretName('users') },
] as const;

/** The Data API takes a secret by its ARN. */
type FindSecret = (name: string) => Promise<string>;

/** Makes the stand-ins, and their logins the current versions of the secrets. @throws the errors of AWS's services. */
export async function lendRegistryRoles(
  { rotationId }: CredentialRotation,
  target: RegistryMaster,
  findSecret: FindSecret,
): Promise<void> {
  const master = openRegistry(target, target.masterSecretArn);
  for (const { role, secret } of ROLES) {
    const standIn = standInName(role, rotationId);
    const versionId = `${rotationId}-stand-in`;
    await addVersion(secret, { versionId, stage: 'AWSPENDING', username: standIn });
    await ensureStandIn(master, role, standIn, await passwordOfVersion(secret, versionId));
    await promoteVersion(secret, versionId);
    await signIn(target, await findSecret(secret));
  }
}

/** Gives the roles new passwords, which ends the old ones, and makes them the current versions of the secrets. */
export async function renewRegistryRoles(
  { rotationId, isImmediate }: CredentialRotation,
  target: RegistryMaster,
  findSecret: FindSecret,
): Promise<void> {
  const master = openRegistry(target, target.masterSecretArn);
  for (const { role, secret } of ROLES) {
    const versionId = `${rotationId}-renewed`;
    await addVersion(secret, { versionId, stage: 'AWSPENDING', username: role });
    const verifier = literal(scramVerifier(await passwordOfVersion(secret, versionId)));
    await master.query(`ALTER ROLE ${identifier(role)} LOGIN PASSWORD ${verifier}`);
    if (isImmediate) await endSessions(master, role);
    await promoteVersion(secret, versionId);
    await signIn(target, await findSecret(secret));
  }
}

/** Drops the stand-ins. */
export async function endRegistryStandIns(
  { rotationId }: CredentialRotation,
  target: RegistryMaster,
): Promise<void> {
  const master = openRegistry(target, target.masterSecretArn);
  for (const { role } of ROLES) {
    const standIn = standInName(role, rotationId);
    if (!(await exists(master, standIn))) continue;
    const name = identifier(standIn);
    await master.query(`ALTER ROLE ${name} NOLOGIN`);
    await endSessions(master, standIn);
    await master.query(`DROP ROLE ${name}`);
  }
}

async function ensureStandIn(
  master: RegistryExecutor,
  role: string,
  standIn: string,
  password: string,
): Promise<void> {
  const name = identifier(standIn);
  if (!(await exists(master, standIn))) await master.query(`CREATE ROLE ${name} NOLOGIN`);
  await master.query(`GRANT ${identifier(role)} TO ${name} WITH INHERIT TRUE, SET FALSE`);
  await master.query(`ALTER ROLE ${name} SET statement_timeout = '30s'`);
  await master.query(`ALTER ROLE ${name} LOGIN PASSWORD ${literal(scramVerifier(password))}`);
}

async function exists(master: RegistryExecutor, role: string): Promise<boolean> {
  const rows = await master.query('select 1 as known from pg_catalog.pg_roles where rolname = :role', {
    role,
  });
  return rows.length > 0;
}

/** The master administers the role, and may end its sessions only with its rights. */
async function endSessions(master: RegistryExecutor, role: string): Promise<void> {
  await master.query(`GRANT ${identifier(role)} TO CURRENT_USER WITH INHERIT TRUE`);
  await master.query(
    `select count(pg_catalog.pg_terminate_backend(pid)) as ended from pg_catalog.pg_stat_activity
     where usename = :role and pid <> pg_catalog.pg_backend_pid()`,
    { role },
  );
  await master.query(`GRANT ${identifier(role)} TO CURRENT_USER WITH INHERIT FALSE`);
}

async function signIn(target: RegistryMaster, secretArn: string): Promise<void> {
  await openRegistry(target, secretArn).query('select 1 as ready');
}

const openRegistry = ({ clusterArn }: RegistryMaster, secretArn: string): DataApi =>
  new DataApi({ clusterArn, secretArn, database: REGISTRY_DATABASE });
