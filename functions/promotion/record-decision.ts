import type { RegistryExecutor } from '../registry/data-api.ts';
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
