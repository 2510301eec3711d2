import { randomUUID } from 'node:crypto';
import type { EventEntry } from '../../functions/aws/event-bus.ts';
import type { RegistryOverPostgres } from '../registry-over-postgres.ts';

/** What a subscriber gets of one event. */
export interface SeenEvent {
  readonly type: string;
  readonly detail: Record<string, unknown> & { readonly eventId: string; readonly sequence: number };
}

/** In place of EventBridge: takes everything, unless `refuse` has a reason. */
export class CollectingBus {
  readonly seen: SeenEvent[] = [];
  readonly batches: number[] = [];
  refuse: (event: SeenEvent) => string | undefined = () => undefined;

  async put(entries: readonly EventEntry[]): Promise<(string | undefined)[]> {
    this.batches.push(entries.length);
    return entries.map(({ type, detail }) => {
      const event = { type, detail: JSON.parse(detail) as SeenEvent['detail'] };
      const reason = this.refuse(event);
      if (reason === undefined) this.seen.push(event);
      return reason;
    });
  }

  types(tenantId?: string | null): string[] {
    return this.seen
      .filter(({ detail }) => tenantId === undefined || detail.tenantId === tenantId)
      .map(({ type }) => type);
  }
}

/** Inserts a tenant as onboarding does, with what must never be in an event. */
export async function addTenant(
  registry: RegistryOverPostgres,
  { status = 'provisioning', tier = 'business' }: { status?: string; tier?: string } = {},
): Promise<string> {
  const tenantId = randomUUID();
  await registry.query(
    `INSERT INTO tenants (tenant_id, tenant_name, tenant_slug, isolation_model, subscription_tier, status, home_region,
                          admin_email, billing_email, status_reason)
     VALUES (cast(:tenantId AS uuid), 'Planted Name ' || :tenantId, 'slug-' || :tenantId, 'schema', :tier, :status, 'us',
             'planted@person.test', 'planted-billing@person.test', 'planted reason')`,
    { tenantId, status, tier },
  );
  return tenantId;
}

export const setStatus = (registry: RegistryOverPostgres, tenantId: string, status: string) =>
  registry.query('UPDATE tenants SET status = :status WHERE tenant_id = cast(:tenantId AS uuid)', {
    tenantId,
    status,
  });
