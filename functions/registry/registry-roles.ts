import { identifier, literal } from '../database/ddl/identifier.ts';
import { scramVerifier } from '../database/provisioning/scram-verifier.ts';
import type { RegistryExecutor } from './data-api.ts';

/** Looks things up: the data plane, and the sign-in trigger. */
export const READER_ROLE = 'strata_registry_reader';
/** Registers tenants and records what workflows do: the operator API and tasks. It changes no table. */
export const WRITER_ROLE = 'strata_registry_writer';

const LOOKED_UP = ['tenants', 'tenant_users', 'tenant_database_routing', 'cells', 'regions'] as const;
const WRITER_RIGHTS: Readonly<Record<string, string>> = {
  tenants: 'SELECT, INSERT, UPDATE',
  tenant_users: 'SELECT, INSERT, UPDATE, DELETE',
  tenant_database_routing: 'SELECT, INSERT, UPDATE, DELETE',
  cells: 'SELECT, INSERT, UPDATE',
  regions: 'SELECT, INSERT, UPDATE',
  // What was done stays on record.
  control_audit_log: 'SELECT, INSERT',
  control_idempotency_keys: 'SELECT, INSERT, UPDATE, DELETE',
  tenant_moves: 'SELECT, INSERT, UPDATE',
  tenant_move_hops: 'SELECT, INSERT, UPDATE',
  schema_rollouts: 'SELECT, INSERT, UPDATE',
  schema_rollout_targets: 'SELECT, INSERT, UPDATE',
  // An expired backup goes from the registry as it goes from the bucket.
  tenant_backups: 'SELECT, INSERT, UPDATE, DELETE',
  tenant_backup_parts: 'SELECT, INSERT, UPDATE, DELETE',
  // A tenant that leaves for another region takes these along.
  usage_samples: 'SELECT, INSERT, UPDATE, DELETE',
  tenant_offers: 'SELECT, INSERT, UPDATE, DELETE',
  promotion_decisions: 'SELECT, INSERT, DELETE',
};

/** Creates the role where it is missing and gives it the password. */
export async function ensureRegistryRole(
  registry: RegistryExecutor,
  roleName: string,
  password: string,
): Promise<void> {
  const role = identifier(roleName);
  const known = await registry.query('select 1 as known from pg_catalog.pg_roles where rolname = :roleName', {
    roleName,
  });
  if (known.length === 0) await registry.query(`CREATE ROLE ${role} NOLOGIN`);
  await registry.query(`ALTER ROLE ${role} LOGIN PASSWORD ${literal(scramVerifier(password))}`);
  await registry.query(`ALTER ROLE ${role} SET statement_timeout = '30s'`);
}

/** One grant per statement, as the Data API takes them. Repeating them changes nothing. */
export const registryGrants: readonly string[] = [
  'REVOKE ALL ON SCHEMA public FROM PUBLIC',
  `GRANT USAGE ON SCHEMA public TO ${READER_ROLE}, ${WRITER_ROLE}`,
  `GRANT SELECT ON ${LOOKED_UP.join(', ')} TO ${READER_ROLE}`,
  // Where a moving tenant will be, so that requests can connect beforehand; nothing else of its move.
  `GRANT SELECT (move_id, status, phase) ON tenant_moves TO ${READER_ROLE}`,
  `GRANT SELECT (move_id, tenant_id, state, target) ON tenant_move_hops TO ${READER_ROLE}`,
  ...Object.entries(WRITER_RIGHTS).map(
    ([table, privileges]) => `GRANT ${privileges} ON ${table} TO ${WRITER_ROLE}`,
  ),
];
