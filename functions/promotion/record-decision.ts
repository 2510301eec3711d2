import { sql } from 'kysely';
import type { Tier } from '../contracts/tenant.ts';
import { type AuditActor, recordAudit } from '../registry/audit-log.ts';
import type { DataApi, RegistryExecutor } from '../registry/data-api.ts';
import { insertOffer } from '../registry/offers.ts';
import { now } from '../registry/registry-expressions.ts';
import { registrySql } from '../registry/registry-sql.ts';
import type { Decision } from './decide.ts';
import { daysBetween } from './figures.ts';
import type { PreviousDecision } from './promotion-candidates.ts';

/** An unchanged `keep` is recorded once a week, as a sign of life. */
const KEEP_DAYS = 7;

export interface DecisionRecord {
  readonly tenantId: string;
  readonly decision: Decision;
  /** What it was founded on. */
  readonly figures: Record<string, unknown>;
  readonly moveId?: string | undefined;
  readonly offerId?: string | undefined;
}

/** @throws {RegistryError} */
export async function recordDecision(
  registry: RegistryExecutor,
  { tenantId, decision, figures, moveId, offerId }: DecisionRecord,
): Promise<void> {
  await registrySql(registry)
    .insertInto('promotion_decisions')
    .values({
      tenant_id: tenantId,
      decision: decision.decision,
      target_tier: decision.targetTier,
      reasons: decision.reasons,
      figures,
      move_id: moveId ?? null,
      offer_id: offerId ?? null,
    })
    .execute();
}

/**
 * Whether the decision says what the tenant's last record says already: the same outcome by the same rules, a `keep`
 * within the week, a `defer` on the same day. What does something is always recorded.
 * @param at the instant of the decision, RFC 3339 UTC.
 */
export function isRepetition(
  { decision, targetTier, reasons }: Decision,
  previous: PreviousDecision | null,
  at: string,
): boolean {
  if (!previous || previous.decision !== decision || previous.targetTier !== targetTier) return false;
  const rules = reasons.map(({ rule }) => rule);
  if (JSON.stringify(rules) !== JSON.stringify(previous.rules)) return false;
  if (decision === 'keep') return daysBetween(previous.decidedAt, at) < KEEP_DAYS;
  return decision === 'defer' && previous.decidedAt.slice(0, 10) === at.slice(0, 10);
}

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
