import { type Client, type ClientConfig, escapeIdentifier, escapeLiteral } from 'pg';
import { installExtensionRights } from './extension-rights.ts';
import { overConnection } from './over-connection.ts';
import { installReplicationRole } from './replication-role.ts';

/** Memberships of rds_superuser, from the RDS documentation, as far as community PostgreSQL has these roles. */
const superuserLike = [
  'pg_monitor',
  'pg_signal_backend',
  'pg_checkpoint',
  'pg_create_subscription',
  'pg_maintain',
  'pg_use_reserved_connections',
  'rds_replication',
];

/**
 * Creates the users and the database that Aurora creates in a cluster: a master user that is not a superuser and does
 * not have the attribute REPLICATION, and the roles that it may grant, including `rds_replication`. Idempotent; also
 * resets the master's password.
 * @param connection the platform's superuser on database `postgres`
 */
export async function provisionMasterUser(
  connection: ClientConfig,
  spec: { masterUsername: string; masterPassword: string; databaseName: string },
): Promise<void> {
  const master = escapeIdentifier(spec.masterUsername);
  await overConnection(connection, async (client) => {
    const roles = await namesIn(client, 'SELECT rolname FROM pg_roles');
    const missing = ['rds_superuser', 'rds_replication', 'rds_iam', 'rds_password'].filter(
      (role) => !roles.has(role),
    );
    const statements = missing.map((role) => `CREATE ROLE ${role} NOLOGIN`);
    if (missing.length > 0) {
      statements.push(`GRANT ${superuserLike.join(', ')} TO rds_superuser WITH ADMIN OPTION`);
    }
    if (!roles.has(spec.masterUsername)) statements.push(`CREATE ROLE ${master}`);
    statements.push(
      `ALTER ROLE ${master} LOGIN NOSUPERUSER CREATEROLE CREATEDB NOREPLICATION NOBYPASSRLS PASSWORD ${escapeLiteral(spec.masterPassword)}`,
      `GRANT rds_superuser, rds_replication, rds_iam, rds_password TO ${master} WITH ADMIN OPTION`,
      `ALTER DATABASE postgres OWNER TO ${master}`,
    );
    // One message, hence one transaction: an interrupted run leaves all of it or nothing.
    await client.query(statements.join(';\n'));
    const databases = await namesIn(client, 'SELECT datname FROM pg_database');
    if (!databases.has(spec.databaseName)) {
      await client.query(`CREATE DATABASE ${escapeIdentifier(spec.databaseName)} OWNER ${master}`);
    }
  });
  // Databases that are created later are copies of template1.
  await overConnection({ ...connection, database: 'template1' }, installExtensionRights);
  await overConnection({ ...connection, database: spec.databaseName }, async (database) => {
    await installReplicationRole(database);
    await installExtensionRights(database);
  });
}

async function namesIn(client: Client, sql: string): Promise<Set<string>> {
  const { rows } = await client.query<[string]>({ text: sql, rowMode: 'array' });
  return new Set(rows.map(([name]) => name));
}
