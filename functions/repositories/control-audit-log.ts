import type { RegistryExecutor } from '../database/registry/data-api.ts';

export interface ControlAuditEntry {
  /** The operator's subject or address. */
  readonly actor: string;
  /** `resource.verb`, e.g. `tenant.update`. */
  readonly action: string;
  readonly tenantId: string;
  readonly resourceType: string;
  readonly resourceId: string;
  /** Facts of the change; no secrets. */
  readonly data: Record<string, unknown>;
}

/** Adds an operator's action to the control plane's audit log, in the transaction of the change itself. */
export async function recordControlAudit(
  transaction: RegistryExecutor,
  entry: ControlAuditEntry,
): Promise<void> {
  await transaction.query(
    `INSERT INTO control_audit_log (actor, actor_type, action, tenant_id, resource_type, resource_id, request_data)
     VALUES (:actor, 'operator', :action, :tenantId::uuid, :resourceType, :resourceId, :data::jsonb)`,
    { ...entry, data: JSON.stringify(entry.data) },
  );
}
