import { createdAt, inet, integer, jsonb, newId, text, timestamptz, uuid, varchar } from './column.ts';
import { tenantTable } from './tenant-table.ts';

/** First answers to POSTs with an `Idempotency-Key`, kept with the tenant's data so that they move with it. */
export const idempotencyKeys = tenantTable(
  'idempotency_keys',
  {
    idempotency_key: text().notNull(),
    request_method: text().notNull(),
    request_path: text().notNull(),
    request_hash: text().notNull(),
    /** Null while the first request is still running. */
    response_status: integer(),
    response_headers: jsonb(),
    response_body: jsonb(),
    created_at: createdAt(),
  },
  { primaryKey: ['idempotency_key'], indexes: [{ name: 'created', columns: ['created_at'] }] },
);

export const auditLog = tenantTable(
  'audit_log',
  {
    log_id: newId(),
    /** Null for changes by the platform or an operator: `actor` names them. */
    user_id: uuid(),
    actor: text(),
    action: varchar(100).notNull(),
    resource_type: varchar(100).notNull(),
    resource_id: uuid(),
    ip_address: inet(),
    user_agent: text(),
    request_data: jsonb(),
    response_status: integer(),
    created_at: createdAt(),
    /** `before` and `after` of the fields that changed (`tenant-data/audit-changes.ts`). */
    changes: jsonb().since(6).platformOnly(),
  },
  {
    primaryKey: ['log_id'],
    indexes: [
      { name: 'created', columns: ['created_at', 'log_id'] },
      { name: 'user', columns: ['user_id', 'created_at'] },
      { name: 'resource', columns: ['resource_type', 'resource_id', 'created_at'] },
      { name: 'actor', columns: ['actor', 'created_at', 'log_id'], since: 6 },
      { name: 'action', columns: ['action', 'created_at', 'log_id'], since: 6 },
    ],
    sharedPartitioning: { by: 'month', column: 'created_at' },
    // A request that another one has taken over cannot overwrite its result.
    requests: 'append',
  },
);

/**
 * Seals of the audit log: each lists entries with their hashes and names the hash of the seal before, so that they form a
 * chain (`tenant-data/audit-chain.ts`). The scheduled sealer writes them as the owner. Requests only read them: a leaked
 * credential of a tenant can neither seal nor unseal.
 */
export const auditSeals = tenantTable(
  'audit_seals',
  {
    /** 1, 2, 3, …: two sealers cannot both append the same one. */
    sequence: integer().notNull(),
    /** Version of the canonical form of entries and seals. */
    format: integer().notNull(),
    /** Hexadecimal SHA-256, like the other hashes; null in the first seal. */
    previous_hash: text(),
    /** A line for each entry: its id, its time and its hash. */
    entries: text().notNull(),
    entry_count: integer().notNull(),
    /** Hash of `entries`. */
    root: text().notNull(),
    /** Entries up to that time are in this seal or in an earlier one. */
    sealed_until: timestamptz().notNull(),
    /** Retention of audit entries when the seal was made, in months. */
    retention_months: integer().notNull(),
    /** Hash of the seal itself. */
    hash: text().notNull(),
    created_at: createdAt(),
  },
  { primaryKey: ['sequence'], requests: 'read', since: 6 },
);

/**
 * A row that an attempt writes after its fence: when it arrives at the target, all earlier changes have arrived too.
 */
export const moveMarkers = tenantTable(
  'move_markers',
  { marker: uuid().notNull(), created_at: createdAt() },
  { primaryKey: ['marker'], requests: 'none' },
);
