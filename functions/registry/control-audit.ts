import type { RegistryExecutor } from './data-api.ts';

/** Who acts on the control plane: a person's token subject, or an execution's ARN. */
export interface AuditActor {
  readonly id: string;
  readonly type: 'operator' | 'workflow' | 'system';
}

export interface AuditEntry {
  readonly actor: AuditActor;
  /** `resource.verb`, e.g. `tenant.register`. */
  readonly action: string;
  /** null where it is about no tenant. */
  readonly tenantId: string | null;
  /** What was acted upon where it is not the tenant itself. */
  readonly resource?: { readonly type: string; readonly id: string };
  /** Facts of the change; neither secrets nor addresses of people. */
  readonly data: Record<string, unknown>;
}

/** Adds a line to the control plane's audit log, in the transaction of the change that it tells of. */
export async function recordAudit(transaction: RegistryExecutor, entry: AuditEntry): Promise<void> {
  await transaction.query(
    `INSERT INTO control_audit_log (actor, actor_type, action, tenant_id, resource_type, resource_id, request_data)
     VALUES (:actor, :actorType, :action, :tenantId::uuid, :resourceType, :resourceId, :data::jsonb)`,
    {
      ...{ actor: entry.actor.id, actorType: entry.actor.type, action: entry.action },
      ...{ tenantId: entry.tenantId, data: JSON.stringify(entry.data) },
      resourceType: entry.resource?.type ?? 'tenant',
      resourceId: entry.resource?.id ?? entry.tenantId,
    },
  );
}
