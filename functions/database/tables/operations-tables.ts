import { createdAt, inet, integer, jsonb, newId, text, uuid, varchar } from './column.ts';
import { tenantTable } from './tenant-table.ts';

/** First answers to POSTs with an `Idempotency-Key`, kept with the tenant's data so that they move with it. */
export const idempotencyKeys = tenantTable(
  'idempotency_keys',
  {
    idempotency_key: text().notNull(),
    request_method: text().notNull(),
    request_path: text().notNull(),
    request_hash: text().notNull(),
    /** Null while the first request is still at work. */
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
    /** Null for what the platform itself or an operator did: `actor` names them. */
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
  },
  {
    primaryKey: ['log_id'],
    indexes: [
      { name: 'created', columns: ['created_at', 'log_id'] },
      { name: 'user', columns: ['user_id', 'created_at'] },
      { name: 'resource', columns: ['resource_type', 'resource_id', 'created_at'] },
    ],
    sharedPartitioning: { by: 'month', column: 'created_at' },
    // A request that was taken over cannot rewrite what it did.
    requests: 'append',
  },
);

/** A row written behind a move's fence: once it has arrived at the target, everything before it has too. */
export const moveMarkers = tenantTable(
  'move_markers',
  { marker: uuid().notNull(), created_at: createdAt() },
  { primaryKey: ['marker'], requests: 'none' },
);
