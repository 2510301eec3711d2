import { type AuditActor, recordAudit } from './control-audit.ts';
import type { RegistryExecutor } from './data-api.ts';

export interface NewOffer {
  readonly tenantId: string;
  readonly targetTier: string;
  /** Why the tenant is offered the tier: the rule and the figures in words. */
  readonly reasons: readonly { readonly rule: string; readonly detail: string }[];
  /** What it was founded on. `tier` is the tenant's own: the offer is withdrawn once the tenant has another one. */
  readonly figures: Readonly<Record<string, unknown>>;
}

/**
 * Makes an offer, with its line in the audit log. A tenant has at most one open offer of a tier.
 * @returns its id; undefined where one is open already.
 */
export async function insertOffer(
  transaction: RegistryExecutor,
  { tenantId, targetTier, reasons, figures }: NewOffer,
  actor: AuditActor,
): Promise<string | undefined> {
  const [offer] = await transaction.query<{ offer_id: string }>(
    `INSERT INTO tenant_offers (tenant_id, target_tier, reasons, figures)
     VALUES (:tenantId::uuid, :targetTier, :reasons::jsonb, :figures::jsonb)
     ON CONFLICT (tenant_id, target_tier) WHERE status = 'open' DO NOTHING
     RETURNING offer_id::text AS offer_id`,
    { tenantId, targetTier, figures, reasons: JSON.stringify(reasons) },
  );
  if (!offer) return undefined;
  await recordAudit(transaction, {
    ...{ actor, action: 'offer.make', tenantId, resource: { type: 'offer', id: offer.offer_id } },
    data: { targetTier, rules: reasons.map(({ rule }) => rule) },
  });
  return offer.offer_id;
}
