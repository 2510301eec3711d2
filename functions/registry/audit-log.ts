import type { RegistryExecutor } from './data-api.ts';
import { registrySql } from './registry-sql.ts';

/** Who acts on the control plane: the subject of an operator's token, a tenant user's id, or an execution's ARN. */
export interface AuditActor {
  readonly id: string;
  readonly type: 'operator' | 'workflow' | 'system' | 'user';
}

export interface AuditEntry {
  readonly actor: AuditActor;
  /** `resource.verb`, e.g. `tenant.register`. */
  readonly action: string;
  /** null when the action is not about a tenant. */
  readonly tenantId: string | null;
  /** The object of the action when it is not the tenant itself. */
  readonly resource?: { readonly type: string; readonly id: string };
  /** Facts of the change, without secrets and without people's addresses. */
  readonly data: Record<string, unknown>;
}

/** Adds a line to the control plane's audit log, in the transaction of the audited change. */
export async function recordAudit(transaction: RegistryExecutor, entry: AuditEntry): Promise<void> {
  await registrySql(transaction)
    .insertInto('control_audit_log')
    .values({
      actor: entry.actor.id,
      actor_type: entry.actor.type,
      action: entry.action,
      tenant_id: entry.tenantId,
      request_data: entry.data,
      resource_type: entry.resource?.type ?? 'tenant',
      resource_id: entry.resource?.id ?? entry.tenantId,
    })
    .execute();
}
