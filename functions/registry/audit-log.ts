import type { RegistryExecutor } from './data-api.ts';
import { registrySql } from './registry-sql.ts';

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
