import { sql } from 'kysely';
import type { Tier } from '../contracts/tenant.ts';
import { type AuditActor, recordAudit } from '../registry/audit-log.ts';
import type { DataApi, RegistryExecutor } from '../registry/data-api.ts';
import { insertOffer } from '../registry/offers.ts';
import { now } from '../registry/registry-expressions.ts';
import { registrySql } from '../registry/registry-sql.ts';
import { type DecisionRecord, recordDecision } from './record-decision.ts';

/**
 * Makes the offer of a decision together with the decision's record. A tenant has at most one open offer of a tier.
 * @returns whether it was made: false where one is open already.
 * @throws {RegistryError}
 */
export function recordOffer(
  registry: Pick<DataApi, 'transaction'>,
  record: DecisionRecord,
  actor: AuditActor,
): Promise<boolean> {
  const { tenantId, decision, figures } = record;
  return registry.transaction(async (transaction) => {
    const { targetTier, reasons } = decision;
    if (targetTier === null) return false;
    const offerId = await insertOffer(transaction, { tenantId, targetTier, reasons, figures }, actor);
    if (offerId === undefined) return false;
    await recordDecision(transaction, { ...record, offerId });
    return true;
  });
}

/**
 * Takes back open offers that have no object any more: the tenant has the tier, left the one it was offered from, or is
 * gone. Those of a tenant that a move is bringing come with it.
 * @returns how many.
 * @throws {RegistryError}
 */
export async function withdrawOffers(registry: RegistryExecutor, actor: AuditActor): Promise<number> {
  const withdrawn = await registrySql(registry)
    .updateTable('tenant_offers as o')
    .from('tenants as t')
    .set({ status: 'withdrawn', decided_by: actor.id, updated_at: now })
    .whereRef('t.tenant_id', '=', 'o.tenant_id')
    .where('o.status', '=', 'open')
    .where((eb) =>
      eb.or([
        eb('t.subscription_tier', '<>', sql<Tier>`coalesce(${eb.ref('o.figures')} ->> 'tier', 'business')`),
        eb('t.status', 'not in', ['active', 'suspended', 'arriving']),
      ]),
    )
    .returning(['o.offer_id', 'o.tenant_id'])
    .execute();
  for (const { offer_id: id, tenant_id: tenantId } of withdrawn) {
    const resource = { type: 'offer', id };
    await recordAudit(registry, { actor, action: 'offer.withdraw', tenantId, resource, data: {} });
  }
  return withdrawn.length;
}
