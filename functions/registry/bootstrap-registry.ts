import {
  REGISTRY_READER_ROLE as READER_ROLE,
  REGISTRY_READER_ROLE,
  REGISTRY_USERS_ROLE,
  REGISTRY_WRITER_ROLE,
  REGISTRY_USERS_ROLE as USERS_ROLE,
  REGISTRY_WRITER_ROLE as WRITER_ROLE,
} from '../contracts/names.ts';
import { identifier, literal } from '../database/ddl/identifier.ts';
import { missingMigrations, versionAfter, versionOf } from '../database/ddl/migration-history.ts';
import { scramVerifier } from '../database/provisioning/data-roles.ts';
import type { DataApi, RegistryExecutor } from './data-api.ts';
import { initialTables } from './migrations/0001-registry-tables.ts';
import { moveTables } from './migrations/0002-moves.ts';
import { moveNames } from './migrations/0003-move-names.ts';
import { meteringColumns } from './migrations/0004-metering.ts';
import { regionTables } from './migrations/0005-regions.ts';
import { rolloutTables } from './migrations/0006-rollouts.ts';
import { backupTables } from './migrations/0007-backups.ts';
import { restoreColumns } from './migrations/0008-restores.ts';
import { exportTables } from './migrations/0009-exports.ts';
import { pointInTimeColumns } from './migrations/0010-points-in-time.ts';
import { lostTenantColumns } from './migrations/0011-lost-tenants.ts';
import { fieldKeyTables } from './migrations/0012-field-keys.ts';
import { accountTables } from './migrations/0013-accounts.ts';
import { requestLimitColumns } from './migrations/0014-request-limits.ts';
import { alertTables } from './migrations/0015-alerts.ts';
import { usageTables } from './migrations/0016-usage.ts';
import { offboardingTables } from './migrations/0017-offboarding.ts';
import { credentialRotationTables } from './migrations/0018-credential-rotations.ts';
import { eventTables } from './migrations/0019-events.ts';
import { databaseSizeColumns } from './migrations/0020-database-sizes.ts';
import { personalStatistics } from './migrations/0021-personal-statistics.ts';
import { keyCopyColumns } from './migrations/0022-key-copies.ts';
import { legalHoldColumns } from './migrations/0023-legal-holds.ts';
import { lockByName } from './transaction-limits.ts';

/** One migration of the registry. Released ones never change. */
export interface RegistryMigration {
  /** Begins with its number, four digits: migrations run in the order of their names. */
  readonly name: string;
  /** One statement each. They run in one transaction, as the master user. */
  readonly statements: readonly string[];
}

export const registryMigrations: readonly RegistryMigration[] = [
  { name: '0001-registry-tables', statements: initialTables },
  { name: '0002-moves', statements: moveTables },
  { name: '0003-move-names', statements: moveNames },
  { name: '0004-metering', statements: meteringColumns },
  { name: '0005-regions', statements: regionTables },
  { name: '0006-rollouts', statements: rolloutTables },
  { name: '0007-backups', statements: backupTables },
  { name: '0008-restores', statements: restoreColumns },
  { name: '0009-exports', statements: exportTables },
  { name: '0010-points-in-time', statements: pointInTimeColumns },
  { name: '0011-lost-tenants', statements: lostTenantColumns },
  { name: '0012-field-keys', statements: fieldKeyTables },
  { name: '0013-accounts', statements: accountTables },
  { name: '0014-request-limits', statements: requestLimitColumns },
  { name: '0015-alerts', statements: alertTables },
  { name: '0016-usage', statements: usageTables },
  { name: '0017-offboarding', statements: offboardingTables },
  { name: '0018-credential-rotations', statements: credentialRotationTables },
  { name: '0019-events', statements: eventTables },
  { name: '0020-database-sizes', statements: databaseSizeColumns },
  { name: '0021-personal-statistics', statements: personalStatistics },
  { name: '0022-key-copies', statements: keyCopyColumns },
  { name: '0023-legal-holds', statements: legalHoldColumns },
];

/** The registry version of this release: the number of its last migration. */
export const REGISTRY_VERSION = versionOf(registryMigrations.at(-1)?.name ?? '');

/** Passwords of the roles; undefined while another role stands in for it, because its password is being replaced. */
export interface RegistryRoles {
  readonly readerPassword: string | undefined;
  readonly writerPassword: string | undefined;
  readonly usersPassword: string | undefined;
}

/**
 * Turns an empty database into the registry, or updates an older one, with its roles and their rights. `registry`
 * connects as the cluster's master user. One transaction under a lock: an interrupted run leaves nothing, and of two
 * concurrent runs the second waits. A registry that is ahead of this code, after a rollback of a deployment, keeps its
 * tables.
 * @returns the version that the registry has now.
 * @throws {RegistryError} PostgreSQL refused a statement; {TypeError} the password has an unusable form;
 * {HistoryDiverged}.
 */
export async function bootstrapRegistry(
  registry: Pick<DataApi, 'transaction'>,
  { readerPassword, writerPassword, usersPassword }: RegistryRoles,
  migrations: readonly RegistryMigration[] = registryMigrations,
): Promise<number> {
  return registry.transaction(async (transaction) => {
    await lockByName(transaction, 'strata registry');
    const version = await migrate(transaction, migrations);
    await ensureRegistryRole(transaction, REGISTRY_READER_ROLE, readerPassword);
    await ensureRegistryRole(transaction, REGISTRY_WRITER_ROLE, writerPassword);
    await ensureRegistryRole(transaction, REGISTRY_USERS_ROLE, usersPassword);
    for (const grant of registryGrants) await transaction.query(grant);
    return version;
  });
}

/** @returns the registry's version afterwards. @throws {HistoryDiverged} */
async function migrate(
  transaction: RegistryExecutor,
  migrations: readonly RegistryMigration[],
): Promise<number> {
  // Kysely's format, which released registries have.
  await transaction.query(
    `CREATE TABLE IF NOT EXISTS registry_schema_migrations
       (name varchar(255) PRIMARY KEY, "timestamp" varchar(255) NOT NULL)`,
  );
  const rows = await transaction.query<{ name: string }>('SELECT name FROM registry_schema_migrations');
  const executed = rows.map(({ name }) => name);
  const missing = missingMigrations(executed, migrations);
  for (const { name, statements } of missing) {
    for (const statement of statements) await transaction.query(statement);
    await transaction.query(
      'INSERT INTO registry_schema_migrations (name, "timestamp") VALUES (:name, :written)',
      { name, written: new Date() },
    );
  }
  return versionAfter([...executed, ...missing.map(({ name }) => name)]);
}

/**
 * The data plane reads these tables as the reader. The operator API and tasks use the writer. Tenants' own routes about
 * their users, the sign-in and the task that works on accounts use the users' role: it can change memberships and
 * nothing else of a tenant.
 */
const LOOKED_UP = [
  'tenants',
  'tenant_users',
  'tenant_database_routing',
  'tenant_field_keys',
  'cells',
  'regions',
] as const;
const WRITER_RIGHTS: Readonly<Record<string, string>> = {
  tenants: 'SELECT, INSERT, UPDATE',
  tenant_users: 'SELECT, INSERT, UPDATE, DELETE',
  tenant_database_routing: 'SELECT, INSERT, UPDATE, DELETE',
  // Without DELETE: while a backup exists, its key has to be known.
  tenant_field_keys: 'SELECT, INSERT, UPDATE',
  field_rotations: 'SELECT, INSERT, UPDATE',
  credential_rotations: 'SELECT, INSERT, UPDATE',
  cells: 'SELECT, INSERT, UPDATE',
  regions: 'SELECT, INSERT, UPDATE',
  // The audit log is append-only.
  control_audit_log: 'SELECT, INSERT',
  control_idempotency_keys: 'SELECT, INSERT, UPDATE, DELETE',
  tenant_moves: 'SELECT, INSERT, UPDATE',
  tenant_move_hops: 'SELECT, INSERT, UPDATE',
  schema_rollouts: 'SELECT, INSERT, UPDATE',
  schema_rollout_targets: 'SELECT, INSERT, UPDATE',
  // An expired backup goes from the registry as it goes from the bucket.
  tenant_backups: 'SELECT, INSERT, UPDATE, DELETE',
  tenant_backup_parts: 'SELECT, INSERT, UPDATE, DELETE',
  tenant_exports: 'SELECT, INSERT, UPDATE, DELETE',
  tenant_export_parts: 'SELECT, INSERT, DELETE',
  // A tenant that leaves for another region takes these along.
  usage_samples: 'SELECT, INSERT, UPDATE, DELETE',
  usage_hours: 'SELECT, INSERT, UPDATE, DELETE',
  usage_days: 'SELECT, INSERT, UPDATE, DELETE',
  usage_aggregations: 'SELECT, INSERT, UPDATE',
  // The bootstrap writes it.
  price_tables: 'SELECT',
  tenant_offers: 'SELECT, INSERT, UPDATE, DELETE',
  promotion_decisions: 'SELECT, INSERT, DELETE',
  account_requests: 'SELECT, INSERT, UPDATE, DELETE',
  // Triggers alone insert events, and nobody changes what one says.
  event_outbox: 'SELECT, UPDATE (attempts, reason, published_at, refused_at), DELETE',
  event_publisher: 'SELECT, UPDATE',
  alerts: 'SELECT, INSERT, UPDATE, DELETE',
  query_baselines: 'SELECT, INSERT, UPDATE, DELETE',
  cell_utilisation: 'SELECT, INSERT, UPDATE, DELETE',
  tenant_offboardings: 'SELECT, INSERT, UPDATE',
  subscription_notices: 'SELECT, INSERT',
};

const USERS_RIGHTS: Readonly<Record<string, string>> = {
  tenant_users:
    'INSERT (tenant_id, email, role), UPDATE (role, is_active, external_auth_id, last_login_at), DELETE',
  // PostgreSQL wants the right to change a row from whoever locks it.
  tenants: 'UPDATE (updated_at)',
  account_requests: 'SELECT, INSERT, UPDATE, DELETE',
  tenant_choices: 'SELECT, INSERT, UPDATE, DELETE',
  control_audit_log: 'INSERT',
  control_idempotency_keys: 'SELECT, INSERT, UPDATE',
};

/** Creates the role when it is missing and sets its password, if one is given. */
export async function ensureRegistryRole(
  registry: RegistryExecutor,
  roleName: string,
  password: string | undefined,
): Promise<void> {
  const role = identifier(roleName);
  const known = await registry.query('select 1 as known from pg_catalog.pg_roles where rolname = :roleName', {
    roleName,
  });
  if (known.length === 0) await registry.query(`CREATE ROLE ${role} NOLOGIN`);
  if (password !== undefined) {
    await registry.query(`ALTER ROLE ${role} LOGIN PASSWORD ${literal(scramVerifier(password))}`);
  }
  await registry.query(`ALTER ROLE ${role} SET statement_timeout = '30s'`);
}

/** One grant per statement, because the Data API takes one statement per call. Repeating them changes nothing. */
export const registryGrants: readonly string[] = [
  'REVOKE ALL ON SCHEMA public FROM PUBLIC',
  `GRANT USAGE ON SCHEMA public TO ${READER_ROLE}, ${WRITER_ROLE}, ${USERS_ROLE}`,
  `GRANT SELECT ON ${LOOKED_UP.join(', ')} TO ${READER_ROLE}, ${USERS_ROLE}`,
  // The target of a tenant's move, so that requests can connect beforehand; nothing else of the move.
  `GRANT SELECT (move_id, status, phase) ON tenant_moves TO ${READER_ROLE}, ${USERS_ROLE}`,
  `GRANT SELECT (move_id, tenant_id, state, target) ON tenant_move_hops TO ${READER_ROLE}, ${USERS_ROLE}`,
  // The size of a tenant's data, and nothing else of its samples.
  `GRANT SELECT (tenant_id, sampled_on, storage_bytes) ON usage_samples TO ${READER_ROLE}, ${USERS_ROLE}`,
  ...Object.entries(WRITER_RIGHTS).map(
    ([table, privileges]) => `GRANT ${privileges} ON ${table} TO ${WRITER_ROLE}`,
  ),
  // It refuses every tenant that is not being erased.
  `GRANT EXECUTE ON FUNCTION erase_tenant(uuid) TO ${WRITER_ROLE}`,
  ...Object.entries(USERS_RIGHTS).map(
    ([table, privileges]) => `GRANT ${privileges} ON ${table} TO ${USERS_ROLE}`,
  ),
];
