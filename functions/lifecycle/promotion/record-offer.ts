import { type AuditActor, recordAudit } from '../../registry/audit-log.ts';
import type { DataApi, RegistryExecutor } from '../../registry/data-api.ts';
import { insertOffer } from '../../registry/offers.ts';
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
  const withdrawn = await registry.query<{ offer_id: string; tenant_id: string }>(
    `UPDATE tenant_offers o SET status = 'withdrawn', decided_by = :actor, updated_at = now()
     FROM tenants t
     WHERE t.tenant_id = o.tenant_id AND o.status = 'open'
       AND (t.subscription_tier <> COALESCE(o.figures ->> 'tier', 'business')
            OR t.status NOT IN ('active', 'suspended', 'arriving'))
     RETURNING o.offer_id::text AS offer_id, o.tenant_id::text AS tenant_id`,
    { actor: actor.id },
  );
  for (const { offer_id: id, tenant_id: tenantId } of withdrawn) {
    const resource = { type: 'offer', id };
    await recordAudit(registry, { actor, action: 'offer.withdraw', tenantId, resource, data: {} });
  }
  return withdrawn.length;
}
