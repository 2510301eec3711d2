import { randomUUID } from 'node:crypto';
import { type AuditActor, recordAudit } from '../registry/audit-log.ts';
import type { RepeatableRequest } from '../registry/control-idempotency.ts';
import type { DataApi } from '../registry/data-api.ts';
import { registrySql } from '../registry/registry-sql.ts';
import { boundTransaction } from '../registry/transaction-limits.ts';
import { RotationInProgress, TenantNotRotatable } from './errors.ts';
import { insertRotation } from './rotation-records.ts';

export interface RequestRotationOptions {
  readonly actor: AuditActor;
  /** Key of the tenant's region. */
  readonly region: string;
  /** For a request that its client may send again. */
  readonly once?: RepeatableRequest | undefined;
}

/**
 * Records that all fields of a tenant are to be encrypted again under fresh data keys. The region's worker takes it up
 * within a minute; it also decides under which KMS key.
 * @returns the rotation's id.
 * @throws {TenantNotRotatable | RotationInProgress} nothing was changed.
 */
export function requestRotation(
  registry: Pick<DataApi, 'transaction'>,
  tenantId: string,
  { actor, region, once }: RequestRotationOptions,
): Promise<string> {
  return registry.transaction(async (transaction) => {
    await boundTransaction(transaction);
    const db = registrySql(transaction);
    const tenant = await db
      .selectFrom('tenants')
      .select('status')
      .where('tenant_id', '=', tenantId)
      .forUpdate()
      .executeTakeFirst();
    const known = await once?.find(transaction);
    if (known) return known;
    const place = await db
      .selectFrom('tenant_database_routing')
      .select('epoch')
      .where('tenant_id', '=', tenantId)
      .executeTakeFirst();
    if (!place || (tenant?.status !== 'active' && tenant?.status !== 'suspended')) {
      throw new TenantNotRotatable('The tenant has no data that could be encrypted again.');
    }
    const rotationId = randomUUID();
    const inserted = await insertRotation(transaction, {
      rotationId,
      tenantId,
      region,
      cause: 'request',
      keyArn: null,
      epoch: place.epoch,
      startedBy: actor.id,
    });
    if (!inserted) throw new RotationInProgress();
    await recordAudit(transaction, {
      actor,
      action: 'fields.rotate',
      tenantId,
      resource: { type: 'field_rotation', id: rotationId },
      data: {},
    });
    await once?.keep(transaction, rotationId);
    return rotationId;
  });
}
