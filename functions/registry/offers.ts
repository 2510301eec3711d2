import { sql } from 'kysely';
import { type AuditActor, recordAudit } from './audit-log.ts';
import type { RegistryExecutor } from './data-api.ts';
import { registrySql } from './registry-sql.ts';

export interface NewOffer {
  readonly tenantId: string;
  readonly targetTier: 'business' | 'enterprise';
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
  const offer = await registrySql(transaction)
    .insertInto('tenant_offers')
    .values({ tenant_id: tenantId, target_tier: targetTier, reasons, figures })
    // A literal: it must be the condition of the unique index.
    .onConflict((row) =>
      row.columns(['tenant_id', 'target_tier']).where('status', '=', sql.lit('open')).doNothing(),
    )
    .returning('offer_id')
    .executeTakeFirst();
  if (!offer) return undefined;
  await recordAudit(transaction, {
    ...{ actor, action: 'offer.make', tenantId, resource: { type: 'offer', id: offer.offer_id } },
    data: { targetTier, rules: reasons.map(({ rule }) => rule) },
  });
  return offer.offer_id;
}
